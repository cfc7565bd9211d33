// The proxy as it is shipped, with a configuration of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { WebSocket } from 'ws';

/** What the log says of the addresses that are open. */
const LISTENING = /listening on http:\/\/(\S+)/;
const DOOR = /the operator's door is open on (http:\/\/\S+)/;

const PATIENCE_MS = 20_000;

const configuration = (backends, token) => `
[[listener]]
address = "127.0.0.1:0"

[[route]]
path = "/"
pool = "echo"

[pool.echo]
backends = ${JSON.stringify(backends.map((backend) => backend.address))}
ejection = "off"
slow_start = "off"

[pool.echo.health]
check = "tcp"
interval = "200ms"
rises = 1
falls = 1

[pool.echo.drain]
over = "2s"

[admin]
socket = "off"
listen = "127.0.0.1:0"
${token ? `token = ${JSON.stringify(token)}` : ''}
`;

export class Proxy {
  #process;
  #directory;

  static async fronting(backends, { token } = {}) {
    const directory = await mkdtemp(path.join(tmpdir(), 'longwire-browser-'));
    const file = path.join(directory, 'proxy.toml');
    await writeFile(file, configuration(backends, token));
    const child = spawn(process.env.LONGWIRE, ['run', '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const proxy = new Proxy(child, directory);
    [proxy.address, proxy.door] = await said(child, [LISTENING, DOOR]);
    return proxy;
  }

  constructor(child, directory) {
    this.#process = child;
    this.#directory = directory;
  }

  /** A client's WebSocket through the proxy. */
  async open(where = '/') {
    const socket = new WebSocket(`ws://${this.address}${where}`);
    await once(socket, 'open');
    return socket;
  }

  async stop(signal = 'SIGTERM') {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill(signal);
      await once(this.#process, 'exit');
    }
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** What each pattern finds in what the process says, once all have found something. */
async function said(child, patterns) {
  const lines = createInterface({ input: child.stderr });
  const heard = [];
  const found = patterns.map(() => null);
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  for await (const line of lines) {
    heard.push(line);
    patterns.forEach((pattern, index) => {
      found[index] ??= pattern.exec(line)?.[1] ?? null;
    });
    if (found.every((match) => match !== null)) {
      clearTimeout(timer);
      child.stderr.resume();
      return found;
    }
  }
  throw new Error(`the proxy does not say where it listens:\n${heard.join('\n')}`);
}
