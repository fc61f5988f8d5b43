// A drawn picture as a file: saved, or handed to another app.

/** The picture of a canvas as a PNG file. */
async function asFile(canvas: HTMLCanvasElement, name: string): Promise<File> {
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob ?? new Blob()], name, { type: "image/png" });
}

/** Saves the picture where the browser saves files. */
export async function savePicture(canvas: HTMLCanvasElement, name: string): Promise<void> {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await asFile(canvas, name));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Opens the system's sheet for sharing; a line says when the browser has none. */
export async function sharePicture(canvas: HTMLCanvasElement, name: string): Promise<string | null> {
  const files = [await asFile(canvas, name)];
  if (!navigator.canShare?.({ files })) return "expected a browser that shares pictures, got another; save it instead";
  await navigator.share({ files }).catch(() => undefined); // the user may change his mind
  return null;
}
