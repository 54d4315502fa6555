// sse.ts - a parser of event streams (HTML standard, section 9.2.6). The
// browser's EventSource is not used: it can neither send a token nor tell a
// session that ended from a connection that broke.

export interface Message {
  id: string;
  event: string;
  data: string;
}

/** More than this without an end of line is no event stream of ours. */
const MAX_PENDING = 1 << 20;

export class SseParser {
  private text = '';
  private data: string[] = [];
  private event = '';
  private id = '';
  private first = true;

  constructor(private readonly onMessage: (m: Message) => void) {}

  push(chunk: string) {
    this.text += chunk;
    if (this.first && this.text) {
      this.first = false;
      if (this.text.startsWith('\uFEFF')) this.text = this.text.slice(1);
    }
    for (;;) {
      const at = this.text.search(/[\r\n]/);
      if (at < 0) break;
      // A CR at the very end may be the first half of a CR LF.
      if (this.text[at] === '\r' && at + 1 === this.text.length) break;
      const crlf = this.text.startsWith('\r\n', at);
      const line = this.text.slice(0, at);
      this.text = this.text.slice(at + (crlf ? 2 : 1));
      this.line(line);
    }
    if (this.text.length > MAX_PENDING) throw new Error('line too long');
  }

  private line(line: string) {
    if (line === '') {
      if (this.data.length)
        this.onMessage({
          id: this.id,
          event: this.event || 'message',
          data: this.data.join('\n'),
        });
      this.data = [];
      this.event = '';
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment: the connection lives
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this.data.push(value);
    else if (field === 'event') this.event = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
  }
}
