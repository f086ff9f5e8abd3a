/** One entry of the event stream. Ids rise by one and start anew with each daemon (`daemon` tells which). */
export interface EventView {
  readonly id: number;
  readonly daemon: string;
  readonly at: string;
  readonly type: string;
  readonly tool: string | null;
  readonly run: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}
