import type { JoinedSocketsOptions } from '../../http2/testing/joined-sockets.ts';
import { turns } from '../../http2/testing/joined-sockets.ts';
import { joinedSides } from '../../http2/testing/sides.ts';
import type { ClientSide, ServerSide, SideOptions } from '../../http2/testing/sides.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import { PacketStream, callPackets } from '../packet-stream.ts';
import type { PacketStreamListener, PacketStreamOptions } from '../packet-stream.ts';
import { PacketRecorder } from './packet-recorder.ts';

export interface PacketPairOptions {
  readonly metadata?: readonly string[];
  readonly client?: Partial<PacketStreamOptions> & { readonly connection?: SideOptions };
  readonly server?: Partial<PacketStreamOptions> & { readonly connection?: SideOptions };
  readonly sockets?: JoinedSocketsOptions;
}

export interface PacketPair {
  readonly client: PacketStream;
  readonly server: PacketStream;
  /** What each side was told. */
  readonly atClient: PacketRecorder;
  readonly atServer: PacketRecorder;
  /** The head of the call, as the server got it. */
  readonly lines: readonly string[];
  readonly serverStream: Http2Stream;
  readonly sides: { readonly client: ClientSide; readonly server: ServerSide };
}

/** Both sides of one call, on a connection in memory. */
export async function packetPair(options: PacketPairOptions = {}): Promise<PacketPair> {
  const { client: { connection: clientSide, ...clientOptions } = {}, metadata = [] } = options;
  const { server: { connection: serverSide, ...serverOptions } = {} } = options;
  const [atClient, atServer] = [new PacketRecorder(), new PacketRecorder()];
  const served: { server: PacketStream; serverStream: Http2Stream; lines: readonly string[] }[] = [];
  const sides = await joinedSides(
    {
      ...(clientSide && { client: clientSide }),
      ...(serverSide && { server: serverSide }),
      ...(options.sockets && { sockets: options.sockets }),
    },
    ({ stream, lines }) => {
      const server = serve(stream, atServer, serverOptions);
      served.push({ server, serverStream: stream, lines });
    },
  );
  const client = callPackets(sides.client.connection, {
    ...{ path: '/ProxyService/Proxy', authority: 'tunnel.test', scheme: 'http', holdsCredit: false },
    ...{ metadata, listener: atClient, ...clientOptions },
  });
  await turns();
  const [begun] = served;
  if (!client || !begun) throw new Error('the call has not begun');
  return { client, atClient, atServer, sides, ...begun };
}

/** The server's side of a call. */
export function serve(
  stream: Http2Stream,
  listener: PacketStreamListener,
  options: Partial<PacketStreamOptions> = {},
): PacketStream {
  return new PacketStream(stream, { isServer: true, holdsCredit: false, listener, ...options });
}
