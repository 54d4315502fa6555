// router.ts - hash URLs: #/instances/ID?state=running. The part before "?" is
// the path, split at "/"; the rest are settings of the view.
import { useEffect, useState } from 'preact/hooks';

export interface Route {
  path: string[];
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '');
  const [path = '', search = ''] = text.split('?', 2);
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part; // typed by hand; it names nothing
    }
  };
  return {
    path: path.split('/').filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(search)),
  };
}

/** The URL of a view; empty settings are left out. */
export function href(path: string[], query: Record<string, string> = {}) {
  const set = Object.entries(query).filter(([, v]) => v !== '');
  const search = new URLSearchParams(set).toString();
  const text = path.map(encodeURIComponent).join('/');
  return `#/${text}${search ? `?${search}` : ''}`;
}

export function go(path: string[], query: Record<string, string> = {}) {
  location.hash = href(path, query);
}

/** Changes settings of the present view; no step back leads to the old ones. */
export function replaceQuery(query: Record<string, string>) {
  const { path } = parse(location.hash);
  history.replaceState(null, '', href(path, query));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const update = () => {
      setHash(location.hash);
    };
    addEventListener('hashchange', update);
    return () => {
      removeEventListener('hashchange', update);
    };
  }, []);
  return parse(hash);
}
