// store.ts - a value that views follow: set it, and those that use it are
// drawn anew.
import { useEffect, useState } from 'preact/hooks';

export class Store<T> {
  private readonly followers = new Set<() => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const f of [...this.followers]) f();
  }

  follow(f: () => void): () => void {
    this.followers.add(f);
    return () => {
      this.followers.delete(f);
    };
  }
}

export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState(() => store.get());
  useEffect(() => {
    const update = () => {
      setValue(() => store.get());
    };
    update(); // it may have changed since it was drawn
    return store.follow(update);
  }, [store]);
  return value;
}
