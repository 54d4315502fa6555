// view.tsx - the frame of a view: its title, which gets the focus when the
// view is gone to, and what stands beside it.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

let moved = false; // the first view after sign-in leaves the focus alone
addEventListener('hashchange', () => {
  moved = true;
});

export function View(props: {
  title: string;
  name?: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  const { title, name = title, aside, children } = props;
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${name} – Virga`;
  }, [name]);
  useEffect(() => {
    if (moved) head.current?.focus();
    moved = false;
  }, []);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1} ref={head}>
          {title}
        </h1>
        {aside}
      </div>
      {children}
    </>
  );
}

/** Names and values. */
export function Facts(props: {
  items: readonly (readonly [string, ComponentChildren] | false)[];
}) {
  return (
    <dl class="facts">
      {props.items.map(
        (f) =>
          f && (
            <div key={f[0]}>
              <dt>{f[0]}</dt>
              <dd>{f[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
