/** A prompt in one of a manifest's styles: "a cat, 3d". It stays as typed for the style "", and when it is empty. */
export function styled(prompt: string, style: string): string {
  return style === "" || prompt === "" ? prompt : `${prompt}, ${style}`;
}
