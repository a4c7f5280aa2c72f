/** What a peer received and nobody has asked for yet. */
export class Inbox {
  #items = [];
  #waiting = [];
  #end;

  push(item) {
    const waiter = this.#waiting.shift();
    if (waiter) {
      waiter.resolve(item);
    } else {
      this.#items.push(item);
    }
  }

  /** Nothing will follow: whoever waits gets `reason` as an error. */
  end(reason) {
    this.#end ??= new Error(`nothing more will be received: ${reason}`);
    for (const waiter of this.#waiting.splice(0)) {
      waiter.reject(this.#end);
    }
  }

  /** The next item, in order; rejects once the peer has ended or after `timeout` ms. */
  async next(timeout = 20_000) {
    if (this.#items.length > 0) {
      return this.#items.shift();
    }
    if (this.#end) {
      throw this.#end;
    }
    const waiter = {};
    const received = new Promise((resolve, reject) => Object.assign(waiter, { resolve, reject }));
    this.#waiting.push(waiter);
    const timer = setTimeout(() => {
      this.#waiting = this.#waiting.filter((other) => other !== waiter);
      waiter.reject(new Error(`nothing was received within ${timeout} ms`));
    }, timeout);
    try {
      return await received;
    } finally {
      clearTimeout(timer);
    }
  }
}
