// Drives a page in Chromium for the tests in Python: one JSON object on standard input, one on standard output.
//
// Actions are lists: ["fill", selector, text], ["click", selector], ["file", selector, path], ["wait", expression],
// ["drag", selector, "x,y x,y"] in shares of its size, ["value", expression], ["shot", path], ["download", selector, path].
// The answer holds the values, and what the page wrote on its console.

import { setTimeout } from "node:timers/promises";
import { chromium } from "playwright-core";

interface Order {
  chromium: string;
  url: string;
  width: number;
  height: number;
  theme: "light" | "dark";
  actions: [string, string, string?][];
}

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"];
const PATIENCE = 300_000;
const POLLING = 100;

async function text(): Promise<string> {
  let all = "";
  for await (const chunk of process.stdin) all += String(chunk);
  return all;
}

const order = JSON.parse(await text()) as Order;
const browser = await chromium.launch({ executablePath: order.chromium, args: [...FLAGS, "--disable-sync"] });
const viewport = { width: order.width, height: order.height };
const page = await browser.newPage({ viewport, colorScheme: order.theme, acceptDownloads: true });
const complaints: string[] = [];
page.on("console", (message) => complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(error.message));
page.setDefaultTimeout(PATIENCE);
await page.goto(order.url);
const values: unknown[] = [];
const inspector = await page.context().newCDPSession(page);

/** By the inspector: the page itself forbids to evaluate a text. */
async function valueOf(expression: string): Promise<unknown> {
  const { result, exceptionDetails } = await inspector.send("Runtime.evaluate", { expression, returnByValue: true });
  if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.text}`);
  return result.value;
}

/** Moves the pressed mouse over an element, from point to point. */
async function drag(selector: string, points: string): Promise<void> {
  await page.locator(selector).scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await page.locator(selector).boundingBox())!;
  for (const [place, point] of points.split(" ").entries()) {
    const [right = 0, down = 0] = point.split(",").map(Number);
    await page.mouse.move(x + right * width, y + down * height);
    if (place === 0) await page.mouse.down();
  }
  await page.mouse.up();
}

for (const [kind, first, second = ""] of order.actions) {
  if (kind === "fill") await page.fill(first, second);
  if (kind === "click") await page.click(first);
  if (kind === "file") await page.setInputFiles(first, second);
  if (kind === "drag") await drag(first, second);
  if (kind === "wait") while (!(await valueOf(first))) await setTimeout(POLLING);
  if (kind === "value") values.push(await valueOf(first));
  if (kind === "shot") await page.screenshot({ path: first, fullPage: true });
  if (kind === "download") {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(first)]);
    await download.saveAs(second);
    values.push(download.suggestedFilename());
  }
}
console.log(JSON.stringify({ values, complaints }));
await browser.close();
