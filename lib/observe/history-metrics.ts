/** What the history counts. */

import type { Registry } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';

/** As it is at a scrape. */
export interface HistorySnapshot {
  readonly state: string;
  readonly written: number;
  readonly dropped: number;
  readonly bytes: number;
}

export function registerHistoryMetrics(registry: Registry, snapshot: () => HistorySnapshot): void {
  const registers = [registry];
  const gauge = (name: string, help: string, of: (history: HistorySnapshot) => number): void =>
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(of(snapshot()));
      },
    });
  gauge(
    'governor_history_paused',
    '1 while the history cannot be written; absent, as all of it, where it is off.',
    ({ state }) => (state === 'paused' || state === 'failed' ? 1 : 0),
  );
  gauge('governor_history_bytes', 'Of its file and the log of that.', ({ bytes }) => bytes);
  // oxlint-disable-next-line no-new -- it registers itself
  new Counter({
    name: 'governor_history_rows_total',
    help: 'Rows of readings, one a run and second, by what became of them: written, dropped.',
    labelNames: ['outcome'],
    registers,
    collect() {
      const { written, dropped } = snapshot();
      this.reset();
      this.inc({ outcome: 'written' }, written);
      this.inc({ outcome: 'dropped' }, dropped);
    },
  });
}
