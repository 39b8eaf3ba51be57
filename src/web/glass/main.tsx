import { render } from 'preact';
import '../style.css';
import { App } from './App.js';

const page = document.getElementById('page')!;
page.replaceChildren();
render(<App />, page);
