import type { Readable } from 'node:stream';
import { headerTokens } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';

/** Whether the caller waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1). */
export function expectsContinue(headers: HeaderLines): boolean {
  return headerTokens(headers, 'expect').includes('100-continue');
}

/**
 * Calls `tell` when somebody asks for the first bytes of a body, before they are read: a caller who is refused is not
 * asked for a body that nobody wants.
 */
export function onFirstRead(body: Readable, tell: () => void): void {
  body._read = (size) => {
    // What is below is the class's own.
    Reflect.deleteProperty(body, '_read');
    tell();
    body._read(size);
  };
}
