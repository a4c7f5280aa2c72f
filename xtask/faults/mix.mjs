// Who is where beside a server of Node, and what is promised to whom.

import { EVERYONE } from "./ledger.mjs";
import { userOf } from "./tokens.mjs";

/** A third of the clients is at Node's server, the others at nodes of ours; every second user has two clients. */
const SHARE_OF_USERS = 2 / 3;

export class Mix {
  #clients;
  #adapter;

  /** `adapter`: that of Node's server, `classic` or `sharded`. */
  constructor(clients, adapter) {
    this.#clients = clients;
    this.#adapter = adapter;
  }

  get users() {
    return Math.ceil(this.#clients * SHARE_OF_USERS);
  }

  get clientsOfNode() {
    return Array.from({ length: this.#clients }, (_, index) => index + 1).filter(isOfNode);
  }

  /** At how many servers of which kind a user has clients: `{ node, ours }`. */
  placesOf(user) {
    const places = { node: 0, ours: 0 };
    for (let client = user; client <= this.#clients; client += this.users) {
      places[isOfNode(client) ? "node" : "ours"] += 1;
    }
    return places;
  }

  /**
   * The streams of which a client gets everything. What our nodes have acknowledged, and what Node's server emits, goes to all
   * as long as nobody touches Node's server. The Redis emitter speaks as the classic adapter does: a server with the sharded one
   * does not hear it, ours do.
   */
  streamsOf(client) {
    const isDeaf = isOfNode(client) && this.#adapter === "sharded";
    const user = userOf(client, this.users);
    return (isDeaf ? ["ours", "node"] : ["ours", "node", "emitter"]).flatMap((by) => [streamOf(by, user), streamOf(by, EVERYONE)]);
  }
}

/** What goes to one user, or to everyone, from the back end by way of `ours`, from `node`'s server or from the `emitter`. */
export function streamOf(by, to) {
  return by === "ours" ? to : `${by} ${to}`;
}

function isOfNode(client) {
  return client % 3 === 0;
}
