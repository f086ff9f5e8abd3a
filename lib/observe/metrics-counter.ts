/** A prom-client counter, and a histogram, with a `tool` label that can forget a tool with all its other labels. */

import type { CounterConfiguration, HistogramConfiguration } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import Histogram from 'prom-client/lib/histogram.js';

export class ToolCounter<Label extends string> {
  readonly #counter: Counter<Label>;
  readonly #seen = new Map<string, Map<string, Readonly<Record<Label, string>>>>();

  constructor(configuration: CounterConfiguration<Label>) {
    this.#counter = new Counter(configuration);
  }

  /** Adds 0 or more; 0 makes the series appear, so that its first increase is seen. */
  add(labels: Readonly<Record<Label, string>> & { readonly tool: string }, amount: number): void {
    if (!(amount >= 0) || !Number.isFinite(amount)) return;
    const series = this.#seen.get(labels.tool) ?? new Map<string, Readonly<Record<Label, string>>>();
    this.#seen.set(labels.tool, series);
    series.set(JSON.stringify(Object.values(labels)), labels);
    this.#counter.inc(labels, amount);
  }

  remove(tool: string): void {
    for (const labels of this.#seen.get(tool)?.values() ?? []) this.#counter.remove(labels);
    this.#seen.delete(tool);
  }

  /** Removes every tool that is not among these. */
  keep(tools: ReadonlySet<string>): void {
    for (const tool of this.#seen.keys()) if (!tools.has(tool)) this.remove(tool);
  }
}

/** Without other labels. */
export class ToolHistogram {
  readonly #histogram: Histogram<'tool'>;
  readonly #seen = new Set<string>();

  constructor(configuration: Omit<HistogramConfiguration<'tool'>, 'labelNames'>) {
    this.#histogram = new Histogram({ ...configuration, labelNames: ['tool'] });
  }

  observe(tool: string, value: number): void {
    this.#seen.add(tool);
    this.#histogram.observe({ tool }, value);
  }

  remove(tool: string): void {
    if (this.#seen.delete(tool)) this.#histogram.remove({ tool });
  }

  /** Removes every tool that is not among these. */
  keep(tools: ReadonlySet<string>): void {
    for (const tool of this.#seen) if (!tools.has(tool)) this.remove(tool);
  }
}
