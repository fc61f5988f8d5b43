// Pictures as pixels: of a file that the user chooses, and of a canvas.

import { PromptError } from "../src/errors.js";
import type { Picture } from "../src/picture.js";
import { quote } from "../src/text.js";

/** A picture file as pixels of another size, over white; throws `PromptError` for what is no picture. */
export async function readPicture(file: File, width: number, height: number): Promise<Picture> {
  const image = await createImageBitmap(file, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" }).catch(
    () => {
      throw new PromptError(`image: expected a picture, got ${quote(file.name)}; choose a PNG or JPEG file`);
    },
  );
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  return pictureIn(canvas);
}

/** The pixels of a canvas, which must be opaque. */
export function pictureIn(canvas: HTMLCanvasElement): Picture {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let place = 0; place < rgb.length; place++) rgb[place] = data[4 * Math.floor(place / 3) + (place % 3)]!;
  return { width, height, rgb };
}

/** Shows pixels in a canvas of their size. */
export function showPicture(canvas: HTMLCanvasElement, { width, height, rgb }: Picture): void {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  image.data.fill(255);
  for (let place = 0; place < rgb.length; place++) image.data[4 * Math.floor(place / 3) + (place % 3)] = rgb[place]!;
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}
