// confirm.tsx - asks before something that cannot be taken back. The browser's
// own modal dialog keeps the focus inside and gives it back afterwards.
import { useEffect, useRef } from 'preact/hooks';
import { Store, useStore } from '../store';

interface Question {
  text: string;
  verb: string;
  answer: (yes: boolean) => void;
}

const asked = new Store<Question | null>(null);

export function confirmed(text: string, verb: string): Promise<boolean> {
  asked.get()?.answer(false);
  return new Promise((answer) => {
    asked.set({ text, verb, answer });
  });
}

export function ConfirmDialog() {
  const question = useStore(asked);
  const box = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    if (question) box.current?.showModal();
  }, [question]);
  useEffect(
    () => () => {
      asked.get()?.answer(false);
      asked.set(null);
    },
    [],
  );
  if (!question) return null;
  const close = (yes: boolean) => {
    box.current?.close();
    asked.set(null);
    question.answer(yes);
  };
  return (
    <dialog
      ref={box}
      id="confirm"
      aria-labelledby="confirm-text"
      onCancel={() => {
        close(false);
      }}
    >
      <p id="confirm-text">{question.text}</p>
      <div class="buttons">
        <button
          type="button"
          data-answer="no"
          onClick={() => {
            close(false);
          }}
        >
          Cancel
        </button>
        <button
          type="button"
          data-answer="yes"
          class="danger"
          onClick={() => {
            close(true);
          }}
        >
          {question.verb}
        </button>
      </div>
    </dialog>
  );
}
