import t from 'tap';
import { isolatedElsewhere } from '../../../lib/core/elsewhere.ts';

t.test('commands that run elsewhere', (t) => {
  const table: readonly (readonly [string, readonly string[], string, RegExp])[] = [
    ['docker', ['run', '-i', '--rm', 'img'], 'a container of docker', /docker run.*--memory.*--cpus.*--pids-limit/],
    ['/usr/bin/docker', ['run', 'img'], 'a container of docker', /--memory/],
    ['docker.exe', ['run', 'img'], 'a container of docker', /--memory/],
    ['docker', ['--context', 'x', 'container', 'run', 'img'], 'a container of docker', /--memory/],
    ['docker', ['-H', 'ssh://h', 'exec', '-it', 'box', 'sh'], 'a container of docker', /docker update --memory.*box/],
    ['podman', ['run', 'img'], 'a container of podman', /podman run/],
    ['nerdctl', ['run', 'img'], 'a container of nerdctl', /nerdctl run/],
    ['docker', ['compose', '-f', 'a.yml', 'run', 'svc'], 'a container of docker', /mem_limit/],
    ['docker-compose', ['exec', 'svc', 'x'], 'a container of docker-compose', /mem_limit/],
    ['ssh', ['-T', 'host', 'cmd'], 'another host', /governor run/],
    ['kubectl', ['-n', 'ns', 'exec', '-i', 'pod', '--', 'x'], 'a Kubernetes pod', /resources\.limits/],
    ['wsl.exe', ['node', 'x'], 'a WSL virtual machine', /wslconfig/],
    ['systemd-run', ['--user', '--scope', 'x'], 'a unit of systemd', /MemoryMax/],
    ['flatpak', ['run', 'org.x'], 'a Flatpak scope of systemd', /set-property/],
    ['incus', ['exec', 'i', '--', 'x'], 'a container of incus', /limits\.memory/],
    ['limactl', ['shell', 'default', 'x'], 'a virtual machine', /governor/],
    ['sh', ['-c', 'docker run img'], 'a container of docker', /--memory/],
    ['bash', ['-lc', 'exec \'docker\' run "img"'], 'a container of docker', /--memory/],
    ['sh', ['-c', 'cd /x && A=1 docker run img | tee log'], 'a container of docker', /--memory/],
    ['sh', ['-c', "sh -c 'sudo docker run img'"], 'a container of docker', /--memory/],
    ['env', ['X=1', 'docker', 'run', 'img'], 'a container of docker', /--memory/],
    ['env', ['-i', '-u', 'Y', 'X=1', 'docker', 'run', 'img'], 'a container of docker', /--memory/],
    ['sudo', ['-u', 'me', '-E', 'docker', 'run', 'img'], 'a container of docker', /--memory/],
    ['timeout', ['-k', '5', '60', 'nice', '-n', '5', 'ssh', 'h'], 'another host', /governor/],
  ];
  for (const [command, args, where, hint] of table) {
    const found = isolatedElsewhere(command, args);
    t.equal(found?.where, where, `${command} ${args.join(' ')}`);
    t.match(found?.hint, hint, `${command} ${args.join(' ')}`);
  }
  t.end();
});

t.test('commands that run here', (t) => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ['node', ['server.js']],
    ['docker', ['ps']],
    ['docker', []],
    ['docker', ['compose', 'ls']],
    ['echo', ['docker', 'run']],
    ['sh', ['-c', "echo 'docker run img'"]],
    ['sh', ['docker', 'run']],
    ['sh', ['-c']],
    ['kubectl', ['get', 'pods']],
    ['flatpak', ['list']],
    ['env', ['X=1']],
    ['sshd', []],
    ['', []],
    ['constructor', []],
    ['__proto__', ['x']],
  ];
  for (const [command, args] of table) t.equal(isolatedElsewhere(command, args), null, `${command} ${args.join(' ')}`);
  t.end();
});

t.test('nested shells and huge scripts end', (t) => {
  let script = 'docker run x';
  for (let depth = 0; depth < 6; depth++) script = `sh -c ${JSON.stringify(script)}`;
  t.equal(isolatedElsewhere('sh', ['-c', script]), null, 'deeper than anybody writes: not looked at');
  t.equal(isolatedElsewhere('sh', ['-c', '(((;'.repeat(100_000)]), null);
  t.equal(
    isolatedElsewhere(
      'env',
      Array.from({ length: 100_000 }, () => 'A=1'),
    ),
    null,
  );
  t.end();
});
