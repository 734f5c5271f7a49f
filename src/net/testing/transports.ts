import { buffer } from 'node:stream/consumers';
import { createTransport } from '../create-transport.ts';
import type { TransportOptions } from '../create-transport.ts';
import { createTcpDial } from '../dial-tcp.ts';
import type { Address } from '../dial.ts';
import { createClientTls } from '../tls.ts';
import type { ClientTlsOptions } from '../tls.ts';
import type { IncomingResponse, OutgoingRequest, Transport } from '../transport.ts';
import { testPki } from './certificates.ts';
import { onTestEnd } from './servers.ts';

/** A transport that trusts the test authority; destroyed when the test ends. */
export async function transportTo(
  address: Address,
  options: Partial<TransportOptions> & { readonly clientTls?: ClientTlsOptions } = {},
): Promise<Transport> {
  const { ca } = await testPki();
  const { clientTls, ...rest } = options;
  const transport = createTransport({
    address,
    dial: createTcpDial(),
    tls: createClientTls({ ca: ca.certificatePem, ...clientTls }),
    ...rest,
  });
  onTestEnd(() => transport.destroy());
  return transport;
}

const never = new AbortController().signal;

export function get(target: string, more: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return { method: 'GET', target, headers: [], authority: 'target.test', signal: never, ...more };
}

export async function textOf({ body }: IncomingResponse): Promise<string> {
  return (await buffer(body)).toString();
}
