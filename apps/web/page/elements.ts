/** The element of index.html with this id. */
export function element<Kind extends HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}
