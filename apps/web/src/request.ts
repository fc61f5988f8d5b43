import type { Adapter } from "./adapter-inputs.js";
import type { PromptSyntax } from "./prompt-pieces.js";
import type { Picture } from "./picture.js";

/** The largest scale of guidance. */
export const MAX_GUIDANCE = 30;

/** The largest strength of a hint. */
export const MAX_HINT_SCALE = 2;

/** The largest scale of an adapter. */
export const MAX_ADAPTER_SCALE = 5;

/** An adapter that is on. */
export interface ScaledAdapter {
  /** As `ModelBundle` reads it. */
  readonly adapter: Adapter;
  /** From -5 to 5; 0 is off. */
  readonly scale: number;
}

/** What one ControlNet reads. */
export interface Hint {
  /** Of the model's size. */
  readonly picture: Picture;
  /** Strength of its effect, 0 to 2; 1 when undefined. */
  readonly scale?: number;
}

/** What to draw. */
export interface DrawRequest {
  /** What the picture shows; "" is the null condition. */
  readonly prompt: string;
  /** What it should not show; it has no effect without guidance, and none is allowed with distilled guidance. */
  readonly negative?: string;
  /** How both prompts write weights; "plain" when undefined. */
  readonly syntax?: PromptSyntax;
  /** The same seed gives the same picture everywhere. */
  readonly seed?: bigint;
  /** Scale of guidance, up to 30, where 1 or less is no guidance; the bundle's own when null. */
  readonly guidance?: number | null;
  /** A picture to begin with, of the model's size. */
  readonly image?: Picture | null;
  /** How much of that picture is redrawn, above 0 and up to 1; 0.8 when null, or 1 by a model that reads the picture. */
  readonly strength?: number | null;
  /** A byte for each pixel, rows from the top: 1 where the picture is drawn anew, 0 where it is kept. */
  readonly mask?: Uint8Array | null;
  /** Guidance towards the picture by a model that edits pictures, 1 to 30; 1.5 when null. */
  readonly imageGuidance?: number | null;
  /** One per ControlNet, in their order. */
  readonly hints?: readonly Hint[];
  /** Those of the bundle's adapters, or of ones made for it later, that are on. */
  readonly adapters?: readonly ScaledAdapter[];
}
