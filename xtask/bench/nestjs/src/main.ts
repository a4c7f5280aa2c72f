// The service as a NestJS application: what help-desk-ws replaces.

import "reflect-metadata";

import { NestFactory } from "@nestjs/core";
import { NestExpressApplication } from "@nestjs/platform-express";

import { AppModule } from "./app.module";

async function main(): Promise<void> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ["error", "warn"] });
  app.enableCors({ origin: "*" });
  await app.listen(Number(process.env.PORT ?? 0), process.env.HOST ?? "127.0.0.1");
  console.log(`Listening on ${await app.getUrl()}`);
}

void main();
