/** CONTRACT STUB. */
export type ToolState = 'registered' | 'activating' | 'active' | 'deactivating' | 'recovering' | 'failed' | 'unregistering';
