import type { Fields } from "./fields.js";

/** Whether a path is relative, with single slashes, and inside the bundle. */
export function staysInside(path: string): boolean {
  return !/[\\:\u0000]/.test(path) && !path.split("/").some((part) => part === "" || part === "." || part === "..");
}

/** A path that stays in the bundle. */
export function innerPath(fields: Fields, name: string): string {
  const path = fields.text(name);
  return staysInside(path) ? path : fields.refuse(name, "a relative path that stays in the bundle");
}
