import { readFileSync } from 'node:fs';
import t from 'tap';
import { native } from '../../../lib/os/native.ts';
import { programPages, readOnlyPages } from '../../../lib/os/program-pages.ts';
import { lacks } from '../../helpers/skip.ts';

function mapping(head: string, { anonymous = 0, swap = 0 } = {}): string {
  return `${head}\nSize:   30304 kB\nRss:   19208 kB\nAnonymous:   ${anonymous} kB\nSwap:   ${swap} kB\nVmFlags: rd mr mw me sd\n`;
}

function headsOf(smaps: string): ReadonlySet<string> {
  return new Set(smaps.split('\n').filter((line) => /^[0-9a-f]+-/.test(line)));
}

t.test('only what the file still has', async (t) => {
  const file = '00400000-00b6f000 r--p 00000000 fe:00 2623 /usr/bin/node';
  const pages = [{ address: 0x400000n, bytes: 0x76f000 }];
  const table: readonly (readonly [string, string, readonly object[]])[] = [
    ['data that is only read', mapping(file), pages],
    ['a path with a space', mapping(file.replace('/usr/bin', '/opt/my programs')), pages],
    ['relocations, which were written', mapping(file, { anonymous: 4 }), []],
    ['written, and swapped out', mapping(file, { swap: 4 }), []],
    ['code', mapping(file.replace('r--p', 'r-xp')), pages],
    ['code with a breakpoint', mapping(file.replace('r--p', 'r-xp'), { anonymous: 4 }), []],
    ['code that is written', mapping(file.replace('r--p', 'rwxp')), []],
    ['what may be written', mapping(file.replace('r--p', 'rw-p')), []],
    ['what others map too', mapping(file.replace('r--p', 'r--s')), []],
    ['no file', mapping('7f0000000000-7f0000800000 r--p 00000000 00:00 0'), []],
    ['the kernel’s own', mapping('7f0000000000-7f0000800000 r--p 00000000 00:00 0    [vvar]'), []],
    ['a small one', mapping('00400000-004ff000 r--p 00000000 fe:00 2623 /usr/lib/libc.so.6'), []],
    ['a kernel that does not say', `${file}\nSize: 30304 kB\n`, []],
    ['nothing at all', '', []],
  ];
  for (const [name, smaps, wanted] of table) t.same(readOnlyPages(smaps, headsOf(smaps)), wanted, name);
  const several = table.map(([, smaps]) => smaps).join('');
  t.same(readOnlyPages(several, headsOf(several)), [...pages, ...pages, ...pages]);
  t.same(readOnlyPages(mapping(file), new Set()), [], 'what was mapped later');
  const data = mapping('00b6f000-00b70000 rw-p 0076f000 fe:00 2623 /usr/bin/node', { anonymous: 4 });
  t.same(readOnlyPages(mapping(file) + data, new Set()), pages, 'the same, to its end');
  const other = data.replace('/usr/bin/node', '/usr/bin/nodes');
  t.same(readOnlyPages(mapping(file) + other, new Set()), [], 'that of another file says nothing');
  const grown = file.replace('00b6f000', '00b70000');
  t.same(readOnlyPages(mapping(grown), headsOf(mapping(file))), [], 'what is no longer what it was');
});

t.test('they are given back, and come back', { skip: lacks('linux') || !native().available }, async (t) => {
  const fileKilobytes = (): number =>
    Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = fileKilobytes();
  const release = programPages();
  t.ok(release() > 1e6);
  t.ok(fileKilobytes() < before - 4_000, `${before} kB before, ${fileKilobytes()} kB after`);
  // Everything still works that is in them: a module of Node's that was not compiled before, and a table of ICU.
  const { createGunzip } = await import('node:zlib');
  t.type(createGunzip, 'function');
  t.equal('STRASSE', 'straße'.toLocaleUpperCase('de'));
  t.match('ß', /^\p{Ll}$/u);
});
