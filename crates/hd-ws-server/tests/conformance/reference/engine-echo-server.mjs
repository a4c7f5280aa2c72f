// The behaviour of `examples/engine_echo.rs` on the engine.io npm package: the oracle of `raw/engine.test.mjs`.
// Prints the port that it listens on; `PORT=0` lets the system choose.

import { createServer } from "node:http";
import { Server } from "engine.io";

const httpServer = createServer((_request, response) => {
  response.writeHead(404).end();
});

const engine = new Server({
  pingInterval: Number(process.env.PING_INTERVAL ?? 25_000),
  pingTimeout: Number(process.env.PING_TIMEOUT ?? 20_000),
  maxHttpBufferSize: 1e6,
  cors: { origin: "*" },
});
engine.attach(httpServer, { path: "/engine.io" });
engine.on("connection", (socket) => {
  socket.on("message", (data) => socket.send(data));
});

httpServer.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(httpServer.address().port);
});
