/** What a connection becomes for `governor connect`: MCP as over stdio. Its own file, so that the router need not be loaded for it. */
export const UPGRADE_PROTOCOL = 'mcp-stdio';
