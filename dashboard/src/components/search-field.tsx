// search-field.tsx - a text that counts once it is entered. What is being typed
// is the field's own: the page is drawn anew with each event, and must not take
// it away.
import { useEffect, useState } from 'preact/hooks';

export interface SearchFieldProps {
  id: string;
  value: string;
  placeholder: string;
  onEnter: (text: string) => void;
}

export function SearchField(props: SearchFieldProps) {
  const { id, value, placeholder, onEnter } = props;
  const [text, setText] = useState(value);

  useEffect(() => {
    setText(value);
  }, [value]);
  return (
    <input
      id={id}
      type="search"
      value={text}
      placeholder={placeholder}
      spellcheck={false}
      onInput={(e) => {
        setText(e.currentTarget.value);
      }}
      onChange={(e) => {
        onEnter(e.currentTarget.value.trim());
      }}
    />
  );
}
