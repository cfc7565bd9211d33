// A backend that echoes.

import { once } from 'node:events';

import { WebSocketServer } from 'ws';

export class Backend {
  #server;

  static async start() {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    server.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    await once(server, 'listening');
    return new Backend(server);
  }

  constructor(server) {
    this.#server = server;
    this.address = `127.0.0.1:${server.address().port}`;
  }

  /** As if its machine had lost power: nobody is told. */
  kill() {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
  }
}
