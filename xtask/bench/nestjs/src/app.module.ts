import { Module } from "@nestjs/common";
import { JwtModule } from "@nestjs/jwt";

import { NotificationsController } from "./notifications.controller";
import { NotificationsGateway } from "./notifications.gateway";

@Module({
  imports: [JwtModule.register({ secret: process.env.JWT_SECRET })],
  controllers: [NotificationsController],
  providers: [NotificationsGateway],
})
export class AppModule {}
