// console.ts - the text of a console log, read piece by piece. What came
// before is kept as bytes until a character or an escape sequence is whole.
import { raw, url } from './api/client';

const PIECE = 65_536;
const KEEP = 1 << 20; // characters; older ones are forgotten

export class ConsoleText {
  text = '';
  /** There is something before it. */
  cut = false;
  private end = -1;
  private decoder = new TextDecoder();

  constructor(readonly of: string) {}

  /** Reads what is new; true if there was something, and maybe more. */
  async more(signal: AbortSignal): Promise<boolean> {
    const query: Record<string, string> = { limit: String(PIECE) };
    if (this.end >= 0) query.offset = String(this.end);
    const reply = await raw(
      'get',
      url('/v1/instances/{instance}/console-log', { instance: this.of }, query),
      { signal },
    );
    const number = (name: string) => Number(reply.headers.get(name) ?? NaN);
    const offset = number('Virga-Log-Offset');
    const end = number('Virga-Log-End');
    const bytes = new Uint8Array(await reply.arrayBuffer());
    // A new log began, or a part of it was dropped: what is shown is no
    // longer what stands before this.
    if (this.end < 0 || offset !== this.end) {
      this.text = '';
      this.cut = offset > 0;
      this.decoder = new TextDecoder();
    }
    this.end = offset + bytes.length;
    this.text += this.decoder.decode(bytes, { stream: true });
    if (this.text.length > KEEP) {
      this.text = this.text.slice(-KEEP);
      this.cut = true;
    }
    return bytes.length > 0 && this.end < end;
  }
}
