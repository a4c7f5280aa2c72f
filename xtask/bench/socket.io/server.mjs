// The service on Socket.IO and Node's own http, without a framework.

import { createServer } from "node:http";

import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const { JWT_SECRET, EMIT_TOKEN, HOST = "127.0.0.1", PORT = "0" } = process.env;

const http = createServer((request, response) => {
  if (request.method !== "POST") {
    return answer(response, 404, { error: "not found" });
  }
  if (request.headers.authorization !== `Bearer ${EMIT_TOKEN}`) {
    return answer(response, 401, { error: "unauthorized" });
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { userId, event, payload } = JSON.parse(Buffer.concat(chunks).toString());
    if (request.url === "/notifications/emit") {
      notifications.to(`user_${userId}`).emit(event, payload);
    } else {
      notifications.emit(event, payload);
    }
    answer(response, 201, { success: true });
  });
});

const io = new Server(http, { cors: { origin: "*" } });
const notifications = io.of("/notifications");

notifications.use((socket, next) => {
  try {
    const { usu_id } = jwt.verify(socket.handshake.auth.token, JWT_SECRET, { algorithms: ["HS256"] });
    socket.data.user = usu_id;
    next();
  } catch (error) {
    next(error);
  }
});
notifications.on("connection", (socket) => socket.join(`user_${socket.data.user}`));

http.listen(Number(PORT), HOST, 4096, () => console.log(`Listening on http://${HOST}:${http.address().port}`));

function answer(response, status, body) {
  const json = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(json) });
  response.end(json);
}
