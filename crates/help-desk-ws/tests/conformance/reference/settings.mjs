// The settings of the reference service, with the checks that the suites look for.

const DURATION = /^(\d+)(ms|s|m|h)$/;
const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const KNOWN_SECRETS = ["default-secret", "default-secret-change-me"];

/** The settings, or the lines that say what is wrong with them. */
export function readSettings(env) {
  const problems = [];
  const problem = (name, shown, what) => problems.push(`${name}${shown === undefined ? "" : `=${shown}`} ${what}`);

  const production = env.NODE_ENV === "production";
  if (!["development", "production", undefined].includes(env.NODE_ENV)) {
    problem("NODE_ENV", env.NODE_ENV, "must be development or production");
  }
  const port = Number(env.PORT ?? 3001);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    problem("PORT", env.PORT, "must be a port");
  }
  if (production && !env.JWT_SECRET) {
    problem("JWT_SECRET", undefined, "must be set in production");
  }
  if (production && KNOWN_SECRETS.includes(env.JWT_SECRET)) {
    problem("JWT_SECRET", undefined, "is known to everybody");
  }
  if (production && !env.CORS_ORIGIN) {
    problem("CORS_ORIGIN", undefined, "must be stated in production");
  }
  const origins = (env.CORS_ORIGIN ?? "*").split(",").map((origin) => origin.trim());
  for (const origin of origins) {
    if (origin !== "*" && !/^https?:\/\/[^/]+$/.test(origin)) {
      problem("CORS_ORIGIN", env.CORS_ORIGIN, "must be origins without a path");
    }
  }
  if (!["connect_error", "legacy", undefined].includes(env.AUTH_FAILURE)) {
    problem("AUTH_FAILURE", env.AUTH_FAILURE, "must be connect_error or legacy");
  }
  const duration = (name, fallback) => {
    const match = DURATION.exec(env[name] ?? fallback);
    if (!match) {
      problem(name, env[name], "must be a time such as 25s");
      return 0;
    }
    return Number(match[1]) * UNITS[match[2]];
  };
  const settings = {
    host: env.HOST ?? "0.0.0.0",
    port,
    production,
    origins,
    allowNoOrigin: env.ALLOW_NO_ORIGIN !== "false",
    allowEio3: env.ALLOW_EIO3 === "true",
    secrets: [env.JWT_SECRET, env.JWT_SECRET_PREVIOUS].filter(Boolean),
    requireExp: env.JWT_REQUIRE_EXP !== "false",
    emitTokens: [env.EMIT_TOKEN, env.EMIT_TOKEN_PREVIOUS].filter(Boolean),
    emitOpen: env.EMIT_AUTH === "open",
    legacy: env.AUTH_FAILURE === "legacy",
    pingInterval: duration("PING_INTERVAL", "25s"),
    pingTimeout: duration("PING_TIMEOUT", "20s"),
    connectTimeout: duration("CONNECT_TIMEOUT", "45s"),
    shutdownTimeout: duration("SHUTDOWN_TIMEOUT", "10s"),
  };
  return { settings, problems };
}
