import { join } from 'node:path';
import t from 'tap';
import { parseAddress, readNetTables } from '../../../lib/os/procfs/net-table.ts';

t.test('addresses', async (t) => {
  t.equal(parseAddress('0100007F:1F90'), '127.0.0.1:8080');
  t.equal(parseAddress('00000000:0000'), '0.0.0.0:0');
  t.equal(parseAddress('00000000000000000000000001000000:0050'), '[::1]:80');
  t.equal(parseAddress('00000000000000000000000000000000:0050'), '[::]:80');
  t.equal(parseAddress('B80D0120000000000000000001000000:01BB'), '[2001:db8::1]:443');
  t.equal(parseAddress('0000000000000000FFFF00000100007F:1F90'), '[::ffff:127.0.0.1]:8080');
  t.equal(parseAddress('XYZ:1'), null);
  t.equal(parseAddress('0100007F'), null);
});

t.test('real tables', async (t) => {
  const root = t.testdir({
    7: {
      net: {
        tcp:
          '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n' +
          '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 000000008a8c9a1c 100 0 0 10 0\n' +
          '   1: 0100007F:1F90 0100007F:C350 08 00000000:00000001 00:00000000 00000000     0        0 31338 1 00000000a6d8b5a9 20 4 30 10 -1\n',
        udp:
          '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n' +
          '  112: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 555 2 0000000000000000 0\n',
        unix:
          'Num       RefCount Protocol Flags    Type St Inode Path\n' +
          '00000000a1: 00000002 00000000 00010000 0001 01 700 /run/a b.sock\n' +
          '00000000a2: 00000003 00000000 00000000 0001 03 701\n' +
          '00000000a3: 00000002 00000000 00010000 0005 01 702 @abstract\n',
        netlink:
          'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n' +
          '00000000b1 0   1          00000111 0        0        0     2        0        800\n',
        packet:
          'sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n00000000c1 3      3    0003   2     1 0      0      900\n',
      },
    },
  });
  const sockets = readNetTables(7, root);
  t.same(sockets.get(31337), { kind: 'tcp', state: 'LISTEN', local: '127.0.0.1:8080', remote: '0.0.0.0:0' });
  t.same(sockets.get(31338), { kind: 'tcp', state: 'CLOSE-WAIT', local: '127.0.0.1:8080', remote: '127.0.0.1:50000' });
  t.same(sockets.get(555), { kind: 'udp', state: null, local: '0.0.0.0:5353', remote: '0.0.0.0:0' });
  t.same(sockets.get(700), { kind: 'unix', state: null, local: '/run/a b.sock', remote: null });
  t.match(sockets.get(701), { kind: 'unix', local: null });
  t.match(sockets.get(702), { local: '@abstract' });
  t.match(sockets.get(800), { kind: 'netlink' });
  t.match(sockets.get(900), { kind: 'packet' });
  t.equal(sockets.size, 8);
});

t.test('no tables, no sockets', async (t) => {
  t.equal(readNetTables(7, join(t.testdir({}), 'nowhere')).size, 0);
});
