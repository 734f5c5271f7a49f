/**
 * The packets of the Kubernetes API server network proxy (ANP, konnectivity): `Packet` of konnectivity-client
 * proto/client/client.proto, which frontends, servers and agents send each other over gRPC streams.
 */
export type Packet =
  | DialRequest
  | DialResponse
  | CloseRequest
  | CloseResponse
  | DataPacket
  | CloseDial
  | DrainPacket
  | PausePacket
  | ResumePacket
  | UnknownPacket;

/** Asks for a TCP connection. `dialId` (`random` on the wire, 63 random bits) names the dial until it is answered. */
export interface DialRequest {
  readonly type: 'DIAL_REQ';
  readonly protocol: string;
  /** `host:port`. */
  readonly address: string;
  readonly dialId: bigint;
}

/** Either an error, or the number that the agent gave the connection. */
export interface DialResponse {
  readonly type: 'DIAL_RSP';
  /** Empty: the connection is open. */
  readonly error: string;
  readonly connectId: number;
  readonly dialId: bigint;
}

export interface CloseRequest {
  readonly type: 'CLOSE_REQ';
  readonly connectId: number;
}

export interface CloseResponse {
  readonly type: 'CLOSE_RSP';
  readonly error: string;
  readonly connectId: number;
}

/** Bytes of a connection. */
export interface DataPacket {
  readonly type: 'DATA';
  readonly connectId: number;
  /** Never used by any program known; kept for the differential test. */
  readonly error: string;
  readonly data: Buffer;
}

/** Nobody waits for the dial any more. */
export interface CloseDial {
  readonly type: 'DIAL_CLS';
  readonly dialId: bigint;
}

/** From an agent: no new dials, please. Our server tells it on to frontends that said by `drainHeader` that they heed it. */
export interface DrainPacket {
  readonly type: 'DRAIN';
}

/**
 * Our own, between programs that both said that they know them (`pauseHeader`): the bytes of this connection are not
 * read fast enough; send none until `RESUME`. Go's programs log and ignore packets of types that they do not know.
 */
export interface PausePacket {
  readonly type: 'PAUSE';
  readonly connectId: number;
}

export interface ResumePacket {
  readonly type: 'RESUME';
  readonly connectId: number;
}

/** Of a later version of the protocol: to be ignored. */
export interface UnknownPacket {
  readonly type: 'UNKNOWN';
  readonly number: number;
}

/** A line of metadata of frontends: DRAIN tells them that the agent of their connection stops before long. */
export const drainHeader = 'x-tunnel-drain';

/** Numbers of the enum `PacketType`, and ours above 100. */
export const packetNumbers = {
  DIAL_REQ: 0,
  DIAL_RSP: 1,
  CLOSE_REQ: 2,
  CLOSE_RSP: 3,
  DATA: 4,
  DIAL_CLS: 5,
  DRAIN: 6,
  PAUSE: 100,
  RESUME: 101,
} as const;

/** Field numbers of the `payload`; not those of the enum. PAUSE and RESUME use the message of CLOSE_REQ. */
export const payloadFields = {
  DIAL_REQ: 2,
  DIAL_RSP: 3,
  DATA: 4,
  CLOSE_REQ: 5,
  CLOSE_RSP: 6,
  DIAL_CLS: 7,
  DRAIN: 8,
  PAUSE: 5,
  RESUME: 5,
} as const;
