/** The few pages that the daemon writes itself: plain HTML, no script, nothing from elsewhere. */

import { ERRORS } from '../../lib/core/errors.ts';
import type { Route } from './route.ts';

export function landingPage(version: string, routes: readonly Route[]): string {
  const rows = routes.map(({ method, path, access, summary }) => {
    const linked =
      method === 'GET' && !path.includes('{') && access === 'open' ? `<a href="${path}">${path}</a>` : escape(path);
    return `<tr><td>${method}</td><td><code>${linked}</code></td><td>${access}</td><td>${escape(summary)}</td></tr>`;
  });
  return page(
    'Governor',
    `<h1>Governor ${escape(version)}</h1>
<p>Supervises MCP tools and holds each one to its limits. What is served here:
<a href="/openapi.json">OpenAPI 3.1</a>, <a href="/metrics">metrics</a>, <a href="/docs">documentation</a>.</p>
<p>Routes that are not <em>open</em> want the header <code>Authorization: Bearer TOKEN</code>; the daemon says at its start where the token is.
On this machine <code>governor ls</code> and the other commands need none.</p>
<table><tr><th>Method</th><th>Path</th><th>Needs</th><th></th></tr>${rows.join('\n')}</table>`,
  );
}

export function docsPage(documents: readonly string[]): string {
  const items = documents.map((name) => `<li><a href="/docs/${escape(name)}">${escape(name)}</a></li>`);
  return page(
    'Governor documentation',
    `<h1>Documentation</h1><ul>${items.join('\n')}<li><a href="/docs/errors">Error codes</a></li></ul>`,
  );
}

export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${escape(title)}</td></tr>`,
  );
  return page(
    'Governor error codes',
    `<h1>Error codes</h1><table><tr><th>code</th><th>HTTP</th><th></th></tr>${rows.join('\n')}</table>`,
  );
}

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}tr:target{background:#fe9}';

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title><meta name="viewport" content="width=device-width">
<style>${STYLE}</style></head><body>
${body}
</body></html>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
