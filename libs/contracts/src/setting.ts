/**
 * A parameter's value as a recipe gives it. It may differ from tensor to tensor: a list of numbers is a gradient over the layers, and
 * conditions give values to the tensors whose names hold a text.
 */
export type Setting<T = unknown> = T | number[] | Condition<T> | Condition<T>[];

export interface Condition<T = unknown> {
  value: T | number[];
  /** A plain part of the tensor's name; `*` or absent: every tensor. The first condition that matches counts. */
  filter?: string;
}

/** Most anchors of a gradient, conditions of a parameter, and filters of a recipe. */
export const MOST_ANCHORS = 10_000;
export const MOST_CONDITIONS = 1000;
export const MOST_FILTERS = 1000;
export const LONGEST_FILTER = 1024;
