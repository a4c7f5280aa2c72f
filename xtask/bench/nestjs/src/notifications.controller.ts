import { Body, Controller, Headers, Post, UnauthorizedException } from "@nestjs/common";

import { NotificationsGateway } from "./notifications.gateway";

@Controller("notifications")
export class NotificationsController {
  constructor(private readonly gateway: NotificationsGateway) {}

  @Post("emit")
  emit(
    @Headers("authorization") authorization: string,
    @Body() body: { userId: number; event: string; payload: unknown },
  ): { success: boolean } {
    authorize(authorization);
    this.gateway.emitToUser(body.userId, body.event, body.payload);
    return { success: true };
  }

  @Post("broadcast")
  broadcast(
    @Headers("authorization") authorization: string,
    @Body() body: { event: string; payload: unknown },
  ): { success: boolean } {
    authorize(authorization);
    this.gateway.emitToEveryone(body.event, body.payload);
    return { success: true };
  }
}

function authorize(authorization: string): void {
  if (authorization !== `Bearer ${process.env.EMIT_TOKEN}`) {
    throw new UnauthorizedException();
  }
}
