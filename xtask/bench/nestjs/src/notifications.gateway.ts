import { JwtService } from "@nestjs/jwt";
import { OnGatewayConnection, WebSocketGateway, WebSocketServer } from "@nestjs/websockets";
import { Namespace, Socket } from "socket.io";

@WebSocketGateway({ namespace: "/notifications", cors: { origin: "*" } })
export class NotificationsGateway implements OnGatewayConnection {
  @WebSocketServer()
  private readonly server!: Namespace;

  constructor(private readonly jwt: JwtService) {}

  handleConnection(client: Socket): void {
    try {
      const { usu_id } = this.jwt.verify<{ usu_id: number }>(client.handshake.auth.token as string);
      void client.join(`user_${usu_id}`);
    } catch {
      client.disconnect();
    }
  }

  emitToUser(userId: number, event: string, payload: unknown): void {
    this.server.to(`user_${userId}`).emit(event, payload);
  }

  emitToEveryone(event: string, payload: unknown): void {
    this.server.emit(event, payload);
  }
}
