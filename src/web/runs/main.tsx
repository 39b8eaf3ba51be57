import { render } from 'preact';
import '../style.css';
import { RunsApp } from './RunsApp.js';

const page = document.getElementById('page')!;
page.replaceChildren();
render(<RunsApp />, page);
