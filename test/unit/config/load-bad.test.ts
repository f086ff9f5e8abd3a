/** Every bad file gives exactly one message, with the place and what would be right. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../config/load.ts';
import { formatProblem } from '../../../lib/core/errors.ts';
import { projectRoot } from '../../helpers/project-root.ts';

const folder = join(projectRoot, 'test/fixtures/config/bad');
const host = { memoryBytes: 24 * 1024 ** 3, cores: 2 };

const MESSAGES: Readonly<Record<string, string>> = {
  'action-not-enforced':
    '6:29: "degrade" is not enforced by this version of Governor (degrade is a strategy of recovery; possible: notify, queue_calls, refuse_calls, memory_high, cpu_quota, nice, recycle, stop, kill)',
  'action-of-calls-without-mcp':
    '6:45: refuse_calls has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'action-other-resource':
    '6:26: throttled[0]: "memory_high" is not possible here (possible for cpu: notify, queue_calls, refuse_calls, cpu_quota, nice, recycle, stop, kill)',
  'action-queue-runtime':
    '5:39: throttled[0]: "queue_calls" is not possible here (possible for runtime: notify, cancel_call, recycle, stop, kill)',
  'action-twice': '6:35: cleanup: notify is given twice (each action once, in order)',
  'action-unknown': '6:27: cleanup[0]: "recycel" is not possible here (did you mean "recycle"?)',
  'adaptive-bounds': '6:49: adaptive.min is larger than adaptive.max (swap them, or write one limit and no adaptive)',
  'adaptive-no-limit': '6:41: adaptive has no effect without a limit (write the limit that it begins at)',
  'adaptive-outside': '6:37: adaptive: the limit lies outside of its own bounds (write min ≤ limit ≤ max)',
  'adaptive-runtime':
    '6:29: "adaptive" is not enforced by this version of Governor (a deadline is what somebody is willing to wait for, which usage does not tell; take it out)',
  'adaptive-unit': '6:49: adaptive.min: "256M" could mean two sizes (write 256MiB or 256MB)',
  'adaptive-zero': '6:44: adaptive.min: 0 is not above zero (write at least 1)',
  'adaptive-half': '6:27: "min" is missing (write a whole number such as 1024)',
  'adaptive-word': '6:37: adaptive: must be a mapping, not text (write key: value pairs)',
  'adaptive-none': '6:44: adaptive.min: "none" is not a whole number (write a whole number such as 1024)',
  'adaptive-of-tool':
    '5:5: "adaptive" is not enforced by this version of Governor (it is written with a limit: memory: { limit: 512MiB, adaptive: { min: 256MiB, max: 1GiB } }; take it out)',
  'adaptive-shared':
    '4:28: "adaptive" is not enforced by this version of Governor (a limit that runs share stays as it is written; take it out)',
  'alias-bomb': '6:34: aliases stand for too much (at most 10000 values)',
  'alias-itself': '3:6: the alias *c contains itself (take it out)',
  'alias-unknown': '5:10: the alias *base is unknown (define &base before, or quote text that begins with *)',
  'args-number': '5:20: args[1]: must be text, not a number (put it in quotes)',
  'args-text': '5:11: args: must be a list, not text (write [one, two])',
  'auth-and-authorization': '5:16: headers: Authorization and auth both say who asks (take one of them out)',
  'auth-client-without-issuer': '6:29: client_id without the issuer that it is of (add issuer: https://…)',
  'auth-empty': '5:11: auth: names no way to sign in (write auth: browser)',
  'auth-in-the-clear': '4:10: url: with auth it has to be https (the token would be sent in the clear)',
  'auth-issuer-in-the-clear': '6:40: issuer: is not https (secrets would be sent in the clear)',
  'auth-of-command':
    '5:5: "auth" is not enforced by this version of Governor (a tool with a command signs in by itself; take it out)',
  'auth-scope': '6:33: scopes[1]: is no scope (one word, such as files:read)',
  'auth-secret-and-key': '6:74: client_secret and private_key are given (take one of them out)',
  'auth-secret-without-client': '6:33: client_secret belongs to no client_id (add client_id)',
  'auth-two-ways': '6:16: auth: names two ways to sign in (take one of them out)',
  'auth-unknown': '5:11: auth: "bowser" is not possible here (did you mean "browser"?)',
  'auth-variable-empty': '8:24: client_secret: is empty (set the variable that it is taken from)',
  'auth-variable':
    '8:24: client_secret: the environment variable DOCS_SECRET is not set (set it, or write ${DOCS_SECRET:-default})',
  'auth-without-issuer': '6:7: "issuer" is missing (write https://login.example.org)',
  'auth-without-secret': '6:40: neither client_secret nor private_key is given (add one of them)',
  'auth-mcp-none-open':
    '4:16: mcp: none is only possible on a loopback address, and listen is 0.0.0.0 (write mcp: token, or listen on 127.0.0.1)',
  'auth-none-open':
    '4:16: api: none is only possible on a loopback address, and listen is 0.0.0.0 (write api: token, or listen on 127.0.0.1)',
  'backend-unknown': '2:20: backend: "cgroup3" is not possible here (did you mean "cgroup2"?)',
  'boolean-word': '5:14: dry_run: must be true or false, not text (write true or false, without quotes)',
  'budget-runtime':
    '3:27: "runtime" is not enforced by this version of Governor (runtime is a deadline of each run by itself: there is nothing in it to share; take it out)',
  'budget-top':
    '2:1: "budget" is not enforced by this version of Governor (limits for all tools together are written under `daemon`; take it out)',
  'budget-with-stop': '5:41: budget has no effect with strategy: stop (take one of them out)',
  'budget-wrong': '5:25: budget: "5 per 10m" is not a budget (write how often in what time, such as 5/10m)',
  'calls-queue-zero': '5:21: queue: 0 is not above zero (write at least 1)',
  'calls-remote':
    '5:5: "calls" is not enforced by this version of Governor (a server on another host is held to nothing here; take it out)',
  'calls-unknown': '3:12: "lenght" is not a known key (known keys: queue, wait)',
  'calls-wait-short': '3:26: wait: "10ms" is too small (write at least 100ms)',
  'calls-without-mcp':
    '6:12: calls has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'cache-entries-with-redis': '4:14: entries has no effect with redis (write redis: { first_level: { entries: … } })',
  'history-keep-order':
    '4:18: keep: values of 10s are kept for a shorter time than those of 1s (write at least as long a time for 10s as for 1s; without one it is its default)',
  'history-keep-short': '3:26: 1s: "10s" is too small (write at least 1m)',
  'history-unknown-key': '3:22: "5s" is not a known key (did you mean "1s"?)',
  'cache-first-level-unknown': '4:55: "size" is not a known key (known keys: ttl, entries)',
  'cache-off-in-daemon': '6:12: cache has no effect: daemon.cache is off (take one of them out)',
  'cache-pattern-no-template':
    '7:18: uri: is no URI template: character 9: this { is not closed (write one such as file:///{+path}, as RFC 6570 has it)',
  'cache-pattern-scope-off': '7:54: scope has no effect with ttl: off (take one of them out)',
  'cache-pattern-twice': '8:18: uri: file:///{+path} is given twice (the first one holds)',
  'cache-pattern-without-uri': '7:11: "uri" is missing (write a URI template such as file:///{+path})',
  'cache-redis-url': '4:19: url: is no address of a Redis (write redis://host:6379, rediss://… or unix:///path)',
  'cache-redis-variable': '4:29: url: the environment variable SECRET is not set (set it, or write ${SECRET:-default})',
  'cache-size-ambiguous': '2:26: size: "100M" could mean two sizes (write 100MiB or 100MB)',
  'cache-ttl-bare-number': '5:19: ttl: 5 has no unit (write 5s or 5ms)',
  'cache-unknown-key': '5:14: "pattern" is not a known key (did you mean "patterns"?)',
  'cache-without-mcp':
    '6:12: cache has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'cache-word': '3:32: cache: "on" is not possible here (possible: off)',
  'class-circle':
    '3:17: extends: classes go in a circle: a → b → c → a (let one of them extend nothing, or light, standard or heavy)',
  'class-extends-itself':
    '3:21: extends: classes go in a circle: heavy → heavy (let one of them extend nothing, or light, standard or heavy)',
  'class-extends-unknown': '3:17: extends: there is no class "nothing" (classes: light, standard, heavy, a)',
  'class-unknown': '5:12: class: there is no class "standart" (did you mean "standard"?)',
  'colon-in-text': '5:12: a mapping cannot begin here (one key a line; quote text that has ": " in it)',
  'command-line':
    '4:14: command: looks like a whole command line (write command: npx and the other words in args: [ … ])',
  'contexts-backing':
    '3:42: "backing" is not enforced by this version of Governor (each tool has a directory of its own, with its own backing; take it out)',
  'contexts-key': '3:14: "memroy" is not a known key (did you mean "memory"?)',
  'contexts-name':
    '3:3: contexts: "" cannot name a context (1 to 256 characters, no control characters; * stands for any characters)',
  'contexts-runtime':
    '3:14: "runtime" is not enforced by this version of Governor (runtime is a deadline of each run by itself: there is nothing in it to share; take it out)',
  'contexts-size': '3:22: memory: "4G" could mean two sizes (write 4GiB or 4GB)',
  'contexts-text': '3:7: ci: must be a mapping, not text (write key: value pairs)',
  'control-character': '2:3: has a control character (0x07) (take it out)',
  'cpu-bare-number': '6:12: cpu: 50 has no unit (write 50%)',
  'cpu-millicores': '6:12: cpu: "500m" is not a percentage (write 50%)',
  'cwd-tilde': '5:10: cwd: "~" is not replaced (write an absolute path, or one relative to the folder of this file)',
  'degrade-without-degraded':
    '5:27: strategy: degrade does not say what the tool gets less of (add degraded: { class: light } or { calls_at_once: 1 })',
  'degraded-calls-of-calls':
    '6:63: calls_at_once has no effect with sharing: call: each process has one call (take one of them out)',
  'degraded-calls-without-mcp':
    '6:77: calls_at_once has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'degraded-class-larger':
    '5:55: class: "heavy" is larger than "standard": memory 4 GiB, not 1 GiB (name a class that has no more of anything)',
  'degraded-class-no-effect': '6:55: class: "light" leaves the tool all that it has (name a smaller one)',
  'degraded-class-own': '6:36: class: "light" is the class that the tool has already (name a smaller one)',
  'degraded-class-remote': '5:55: class: a server on another host is held to nothing here (write calls_at_once alone)',
  'degraded-class-unknown': '5:55: class: there is no class "lihgt" (did you mean "light"?)',
  'degraded-class-unlimited':
    '7:55: class: "small" is larger than "standard": sockets no limit, not 256 (name a class that has no more of anything)',
  'degraded-empty': '5:46: degraded: says nothing (name a class, calls_at_once, or both)',
  'degraded-key-unknown': '5:48: "calls" is not a known key (known keys: class, calls_at_once)',
  'degraded-never':
    '5:43: degraded has no effect: strategy: restart is never replaced with fallback: none (take one of them out)',
  'demand-without-mcp':
    '6:27: strategy: restart-on-demand starts nothing with readiness: none: nobody speaks MCP with it (write restart or stop)',
  directive: '1:1: directives (%NAME) are not supported (take the line out)',
  'duration-bare-number': '6:16: runtime: 30 has no unit (write 30s or 30ms)',
  'duration-word': '6:16: runtime: "5min" is not a duration (write 5m)',
  empty: '1:1: the file is empty (start with version: 1)',
  'env-dollar-name': '5:15: A: "$HOME" is not replaced (write ${HOME}, or $$HOME for the characters themselves)',
  'env-malformed':
    '6:16: A: "${" does not begin a variable (write ${NAME} or ${NAME:-default}, or $${ for the characters themselves)',
  'env-number': '5:18: PORT: must be text, not a number (put it in quotes)',
  'env-reserved': '5:12: env: TMPDIR is set by Governor (take it out)',
  'env-undefined': '6:20: URL: the environment variable HOST is not set (set it, or write ${HOST:-default})',
  'escalate-cpu':
    '5:38: escalate_after has no effect for cpu: its cleanup stage ends nothing (add actions: { cpu: { cleanup: [recycle] } })',
  'escalate-runtime':
    '5:33: "runtime" is not enforced by this version of Governor (runtime only grows, its limit is a deadline already; take it out)',
  'exit-margin':
    '6:28: exit_margin: 10% is not below the warning stage at 10%, which could never be left (write a smaller margin such as 5%)',
  'grace-too-long': '5:12: grace: "2h" is too large (at most 1h)',
  'headers-line-break': '5:21: headers: X-A has a line break in it (a header is one line)',
  'headers-reserved': '5:16: headers: Accept is set by the protocol (take it out)',
  'headers-undefined':
    '5:39: Authorization: the environment variable NOWHERE is not set (set it, or write ${NOWHERE:-default})',
  'headers-without-url':
    '5:5: "headers" is not enforced by this version of Governor (a tool with a command has no headers; take it out)',
  'health-check-bare-number': '5:19: health_check: 30 has no unit (write 30s)',
  'idle-timeout-too-short': '5:19: idle_timeout: "1ms" is too small (write at least 100ms)',
  'idle-timeout-word': '5:19: idle_timeout: "5min" is not a duration (write 5m)',
  indentation: '5:1: the indentation does not fit the lines above (keys of one mapping begin in the same column)',
  'key-limit-in-tool': '5:5: "memory" is not a known key here (write limits: { memory: … })',
  'key-mapping': '3:5: a key must be text (write name: value)',
  'key-not-enforced-contexts':
    '3:3: "contexts" is not enforced by this version of Governor (limits by context are written under `contexts` at the top level; take it out)',
  'key-unknown-resource': '6:7: "fileHandles" is not a known key (did you mean "file_handles"?)',
  'key-unknown-top': '2:1: "servers" is not a known key (known keys: version, daemon, classes, contexts, tools)',
  'key-unknown': '5:5: "limit" is not a known key (did you mean "limits"?)',
  'leaks-action': '5:22: action: "restart" is not possible here (possible: notify, recycle_when_idle)',
  'leaks-elsewhere':
    '6:12: leaks: has no effect: the process runs in a container of docker, only its client is seen here (take it out)',
  'leaks-remote':
    '5:5: "leaks" is not enforced by this version of Governor (a server on another host is held to nothing here; take it out)',
  'leaks-warm-up-number': '5:23: warm_up: 5 has no unit (write 5s)',
  'leaks-window-of-daemon':
    '4:33: window: 5m is shorter than 48 samples (sample_interval is 10s) (write at least 8m, or a shorter daemon.sample_interval)',
  'leaks-window-short':
    '5:22: window: 40s is shorter than 48 samples (sample_interval is 1s) (write at least 48s, or a shorter daemon.sample_interval)',
  'leaks-without-mcp':
    '6:22: recycle_when_idle has no effect with readiness: none: nobody knows when nothing is open with it (take one of them out)',
  'limit-empty': '6:7: memory: has no value (write a size such as 512MiB, 1.5GiB or 500MB)',
  'limit-fraction': '6:21: file_handles: 10.5 is not a whole number (write a whole number such as 1024)',
  'limit-inodes-of-memory': '6:30: "inodes" is not a known key (known keys: limit, adaptive, reason)',
  'limit-list': '6:15: memory: must be a size (write a size such as 512MiB, 1.5GiB or 500MB)',
  'limit-negative': '6:14: tasks: -5 is not above zero (write at least 1)',
  'limit-not-a-number': '6:14: tasks: NaN is not a whole number (write a whole number such as 1024)',
  'limit-reason-only': '6:7: "limit" is missing (write a size such as 512MiB, 1.5GiB or 500MB)',
  'limit-zero-count': '6:16: sockets: 0 is not above zero (write at least 1)',
  'limit-zero': '6:15: memory: "0MiB" is not above zero (write at least 1MiB)',
  'listen-no-such-port': '3:11: listen: "127.0.0.1:77170" has no such port (ports go up to 65535)',
  'listen-port': '3:11: listen: 7717 has no host (write 127.0.0.1:7717)',
  'merge-key': '6:5: merge keys (<<) are not supported (put what tools share in a class)',
  'not-a-mapping': '1:1: must be a mapping, not a list (write key: value pairs)',
  'not-utf8': '3:6: is not UTF-8 text (save the file as UTF-8)',
  nul: '5:10: cwd: has a NUL character (the operating system ends text there)',
  'only-comment': '1:1: the file is empty (start with version: 1)',
  'open-bracket':
    '6:5: a [ or { above is not closed, or what is in it is not indented (close it, and indent every line of it)',
  'open-quote': '6:1: not valid YAML: missing closing "quote (look for a missing colon, quote or bracket)',
  'post-mortems-keep-zero': '3:25: keep: 0 is not above zero (write at least 1)',
  'proto-key': '3:3: "__proto__" is not possible as a key (choose another name)',
  'return-before-stable':
    '5:47: return_after: is shorter than stable_for: the tool would be back before it was known to be stable (write at least stable_for)',
  'return-too-long': '5:31: return_after: "25d" is too large (at most 24d)',
  'sample-interval': '2:28: sample_interval: "10ms" is too small (write at least 100ms)',
  'separator-letter': '3:21: separator: "x" could not be told from a name (write one to eight of _ . -, such as "__")',
  'runtime-cap-low':
    '6:34: runtime.cap of 1m is below the limit of 5m (a cap is what a call may take in all, with its renewals)',
  'runtime-cap-without-limit': '6:36: runtime.cap has no effect without a limit (take one of them out)',
  'runtime-cap-without-mcp':
    '6:42: cap has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'runtime-renew-word': '5:44: runtime.renew: "always" is not possible here (possible: progress, none)',
  'sharing-unknown': '5:14: sharing: "everyone" is not possible here (possible: shared, context, call)',
  'sharing-without-mcp':
    '6:14: sharing has no effect with readiness: none: nobody speaks MCP with it (take one of them out)',
  'size-ambiguous': '6:15: memory: "512M" could mean two sizes (write 512MiB or 512MB)',
  'size-bare-number': '6:15: memory: 536870912 has no unit (write 512MiB)',
  'size-comma': '6:15: memory: "1,5GiB" is not a size (use a point for decimals and nothing between thousands)',
  'size-lower-case': '6:15: memory: "512mib" is not a size (write 512MiB)',
  'size-too-large': '6:15: memory: "99999999TiB" is too large (at most 1024TiB)',
  'size-too-small': '6:15: memory: "1KiB" is too small (write at least 1MiB)',
  'stable-with-stop': '5:45: stable_for has no effect with strategy: stop (take one of them out)',
  'stage-bare-ratio': '6:26: warning: 0.7 has no unit (write 70%)',
  'stage-order-given':
    '8:18: cleanup at 80% is the same as throttled at 80% (stages must increase: warning < throttled < cleanup < emergency)',
  'stage-order':
    '6:26: throttled at 90% (its default) is below warning at 95% (stages must increase: warning < throttled < cleanup < emergency)',
  'starvation-without-limit':
    '6:20: on_starvation: recycle has no effect: the tool has no CPU limit (give it one, such as cpu: 100%)',
  'starvation-without-quota':
    '6:20: on_starvation: recycle has no effect: nothing starves without a quota (add cpu_quota to actions.cpu.throttled)',
  'strategy-unknown':
    '5:27: strategy: "reboot" is not possible here (possible: restart, degrade, restart-on-demand, stop)',
  tab: '3:1: a tab is used for indentation (use spaces)',
  tag: '5:10: tags (!name) are not supported (write the value without it)',
  'temp-backing-of-memory': '4:29: "backing" is not a known key (known keys: limit, adaptive, reason)',
  'temp-backing-unknown': '6:46: backing: "ram" is not possible here (possible: disk, tmpfs)',
  'temp-backing-without-limit':
    '10:21: temp_storage: backing: tmpfs of class fast (temp-backing-without-limit.yaml:4:19) needs a limit, and there is none (give it one, or write { limit: none, backing: disk })',
  'tool-empty': '3:3: web: has no value (write a mapping, or leave the key out)',
  'tool-list': '3:3: tools: must be a mapping, not a list (write key: value pairs)',
  'tool-name-slash':
    '3:3: tool name: a tool name has 1 to 64 characters: letters, digits, marks, spaces and . _ - @ + : \' " ( ); "/" at character 2 is not allowed (choose another name)',
  'tool-twice-normalised': '4:3: tool "café" is given twice (it is on line 3 already)',
  'tool-twice': '5:3: tool "web" is given twice (it is on line 3 already)',
  'tool-without-command': '3:3: "command" is missing (the program to run, such as command: node)',
  'two-documents': '2:1: the file has more than one document (keep one and take the --- lines out)',
  'url-and-command': '4:5: a tool has a command or a url, and this one has both (take one of them out)',
  'url-credentials':
    '4:10: url: has credentials in it (put them into headers, such as Authorization: "Bearer ${TOKEN}")',
  'url-key-unknown': '5:5: "header" is not a known key (did you mean "headers"?)',
  'url-limits':
    '5:15: "memory" is not enforced by this version of Governor (what a server on another host uses cannot be held here; take it out)',
  'url-no-address': '4:10: url: is no address (write https://example.org/mcp)',
  'url-websocket':
    '4:10: url: WebSocket is no transport of MCP (write the http or https address of its Streamable HTTP endpoint)',
  'url-wrong-and-command': '5:5: a tool has a command or a url, and this one has both (take one of them out)',
  'version-missing': '1:1: "version" is missing (write version: 1)',
  'version-other': '1:10: version: 2 is not known (this build reads version: 1)',
  'version-text': '1:10: version: "1" is not known (write version: 1, without quotes)',
};

t.test('the list names every file', async (t) => {
  const files = readdirSync(folder).map((file) => file.replace('.yaml', ''));
  t.same(files.sort(), Object.keys(MESSAGES).sort());
});

for (const [name, expected] of Object.entries(MESSAGES)) {
  t.test(name, async (t) => {
    const path = join(folder, `${name}.yaml`);
    const result = loadConfig({ path, host, env: {} });
    if (result.ok) return t.fail('was accepted');
    const lines = result.error.map((problem) => formatProblem(problem).replace(`${path}:`, ''));
    return t.same(lines, [expected]);
  });
}
