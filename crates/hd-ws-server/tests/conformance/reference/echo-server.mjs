// The behaviour of `examples/echo.rs` on the socket.io npm package: the oracle of the conformance
// suites and of the transcripts. Prints the port that it listens on; `PORT=0` lets the system choose.

import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";

const httpServer = createServer((_request, response) => {
  response.writeHead(404).end();
});

const io = new Server(httpServer, {
  pingInterval: 300,
  pingTimeout: 2000,
  maxHttpBufferSize: 1e6,
  connectTimeout: 3000,
  cors: { origin: "*" },
  serveClient: false,
  allowEIO3: process.env.ALLOW_EIO3 === "true",
  ...(process.env.PARSER === "msgpack" && { parser: msgpackParser }),
});

for (const namespace of ["/", "/custom"]) {
  io.of(namespace).on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    // A packet with an id brings a function as its last argument.
    socket.on("message", (...args) => {
      socket.emit("message-back", ...args.filter((arg) => typeof arg !== "function"));
    });
    socket.on("message-with-ack", (...args) => {
      const ack = args.pop();
      if (typeof ack === "function") {
        ack(...args);
      }
    });
  });
}

httpServer.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(httpServer.address().port);
});
