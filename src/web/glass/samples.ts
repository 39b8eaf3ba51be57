/** Photographs that the page brings along (src/web/public/photos/README.md). */
export interface Sample {
  readonly file: string;
  readonly label: string;
  readonly credit: string;
}

export const SAMPLES: readonly Sample[] = [
  { file: 'coffee.jpg', label: 'Coffee', credit: 'CC0 by Rachel Michetti, courtesy of Pikolo Espresso Bar' },
  {
    file: 'coffee-tilted.jpg',
    label: 'Coffee, tilted',
    credit: 'The photograph of the coffee, warped by a homography. CC0 by Rachel Michetti',
  },
  { file: 'cat.jpg', label: 'Cat', credit: 'CC0 by Stefan van der Walt' },
  { file: 'astronaut.jpg', label: 'Astronaut', credit: 'NASA, public domain' },
];
