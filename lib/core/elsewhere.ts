/**
 * Commands whose real process runs elsewhere: a container engine's daemon, another host, another cgroup by systemd.
 * What we would measure is only the client, so such a run must not be shown as governed.
 */

import { containerCommand } from './container-command.ts';
import { afterFlags, programName, simpleCommands } from './command-words.ts';
import type { Words } from './command-words.ts';

export interface Elsewhere {
  /** For people: `a container of docker`. */
  readonly where: string;
  /** How to limit it there. */
  readonly hint: string;
}

/** Looks through `sh -c`, `env`, `sudo` and their like; null for what runs here. */
export function isolatedElsewhere(command: string, args: readonly string[]): Elsewhere | null {
  for (const words of simpleCommands(command, args)) {
    const found = inContainer(words) ?? byProgram(words);
    if (found !== null) return found;
  }
  return null;
}

function inContainer(words: Words): Elsewhere | null {
  const found = containerCommand(words);
  if (found === null) return null;
  const where = `a container of ${found.engine}`;
  if (found.verb === 'run')
    return { where, hint: `give \`${found.engine} run\` the flags --memory, --cpus and --pids-limit` };
  if (found.verb === 'compose')
    return { where, hint: 'set mem_limit, cpus and pids_limit of the service in the compose file' };
  return {
    where,
    hint: `limit the container itself: \`${found.engine} update --memory … --cpus … --pids-limit … ${found.subject || 'CONTAINER'}\``,
  };
}

const KUBECTL_VALUED = [
  '-n',
  '--namespace',
  '--context',
  '--kubeconfig',
  '--cluster',
  '--user',
  '-s',
  '--server',
  '--as',
  '--token',
];
const SYSTEMD_HINT =
  'give it `-p MemoryMax=… -p CPUQuota=… -p TasksMax=…`, or leave systemd-run out so that Governor holds it';

function byProgram(words: Words): Elsewhere | null {
  const program = programName(words[0] ?? '');
  const args = words.slice(1);
  const verb = afterFlags(args, program === 'kubectl' || program === 'oc' ? KUBECTL_VALUED : [])[0] ?? '';
  switch (program) {
    case 'ssh':
    case 'autossh':
    case 'mosh':
      return {
        where: 'another host',
        hint: 'run governor on that host: `ssh HOST governor run --memory … -- COMMAND`',
      };
    case 'kubectl':
    case 'oc':
      if (!['exec', 'run', 'attach', 'debug'].includes(verb)) return null;
      return { where: 'a Kubernetes pod', hint: 'set resources.limits (memory, cpu) of the container in the pod' };
    case 'wsl':
      return {
        where: 'a WSL virtual machine',
        hint: 'run governor inside it, or set memory= and processors= in .wslconfig',
      };
    case 'systemd-run':
      return { where: 'a unit of systemd', hint: SYSTEMD_HINT };
    case 'flatpak':
      if (verb !== 'run') return null;
      return {
        where: 'a Flatpak scope of systemd',
        hint: 'limit its scope: `systemctl --user set-property --runtime SCOPE MemoryMax=… CPUQuota=… TasksMax=…`',
      };
    case 'lxc':
    case 'incus':
      if (verb !== 'exec') return null;
      return {
        where: `a container of ${program}`,
        hint: `limit the instance: \`${program} config set NAME limits.memory=… limits.cpu=… limits.processes=…\``,
      };
    case 'limactl':
    case 'multipass':
      if (verb !== 'shell' && verb !== 'exec') return null;
      return {
        where: 'a virtual machine',
        hint: 'run governor inside it, or give the machine less memory and fewer cores',
      };
    default:
      return null;
  }
}
