/**
 * Parts of prom-client by their files. Its entry also loads summaries, a push gateway, a cluster and OpenTelemetry: 2 MB
 * of memory for nothing that is used here.
 */
declare module 'prom-client/lib/registry.js' {
  export { Registry as default } from 'prom-client';
}
declare module 'prom-client/lib/counter.js' {
  export { Counter as default } from 'prom-client';
}
declare module 'prom-client/lib/gauge.js' {
  export { Gauge as default } from 'prom-client';
}
declare module 'prom-client/lib/histogram.js' {
  export { Histogram as default } from 'prom-client';
}
declare module 'prom-client/lib/metrics/*.js' {
  import type { Registry } from 'prom-client';

  /** Registers metrics of one kind. */
  const register: (registry: Registry) => void;
  export default register;
}
