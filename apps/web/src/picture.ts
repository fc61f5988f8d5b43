import { roundHalfEven } from "./numbers.js";
import { type FloatTensor, checkFinite, floats } from "./tensor.js";

/** Pixels: `rgb` holds rows from the top, three bytes (red, green, blue) a pixel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** A value in [0, 1] as 0..255; values outside are cut. The product is rounded to float32, as in every language. */
function toByte(value: number): number {
  return roundHalfEven(Math.fround(Math.min(Math.max(value, 0), 1) * 255));
}

/** An image (1, 3, H, W) in [0, 1] as pixels, rounded half to even; throws `ModelError` on NaN. */
export function pictureOf(image: FloatTensor): Picture {
  const [height = 0, width = 0] = image.shape.slice(2);
  checkFinite("image", image.values);
  const area = height * width;
  const rgb = new Uint8Array(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    for (let pixel = 0; pixel < area; pixel++) {
      rgb[3 * pixel + channel] = toByte(image.values[channel * area + pixel]!);
    }
  }
  return { width, height, rgb };
}

/** Pixels as an image (1, 3, H, W) in [0, 1]: what `encode_image` takes. */
export function imageOf(picture: Picture): FloatTensor {
  const area = picture.width * picture.height;
  const values = new Float32Array(3 * area);
  for (let place = 0; place < picture.rgb.length; place++) {
    values[(place % 3) * area + Math.floor(place / 3)] = picture.rgb[place]! / 255;
  }
  return floats(values, [1, 3, picture.height, picture.width]);
}
