/** One thing that an aggregated API server of Kubernetes must do. Tests carry its number: `[17] kubectl get shows …`. */
export interface Check {
  readonly number: number;
  /** `G` is the group version's path, `C` that of clustergateways, `P` the proxy of a cluster. */
  readonly what: string;
  /** Where it is asked: at the hub, which asks the gateway, or at the gateway itself. */
  readonly door: 'hub' | 'direct' | 'hub, direct';
  /** Whether `npm run conformance` fails without it. */
  readonly required: boolean;
}

type Row = readonly [number: number, door: Check['door'], what: string];

/** In the order of their numbers, which never change: a check that goes leaves a gap. */
const required: readonly Row[] = [
  [1, 'hub', 'the APIService is Available, with reason Passed, soon after the gateway is ready'],
  [2, 'hub', 'a gateway that stopped makes it False and G 503; one that is back makes it True by itself'],
  [3, 'direct', "the hub's availability probe is answered at once while no access can be reviewed"],
  [4, 'hub, direct', 'any authenticated user reads the resource list at G'],
  [5, 'hub, direct', 'somebody unknown is refused G with 403, also by the gateway itself'],
  [6, 'hub', 'aggregated discovery of the hub has the version, current, with subresources and kinds'],
  [7, 'direct', '/apis answers aggregated discovery v2beta1 with its content type'],
  [8, 'direct', '/apis answers a known ETag with 304 and no body'],
  [9, 'direct', '/apis is a plain APIGroupList for */*'],
  [10, 'hub', 'kubectl api-resources lists the group'],
  [11, 'hub', 'OpenAPI v2 of the hub has the paths and definitions, and its log no failure to load them'],
  [12, 'hub', 'OpenAPI v3 of the hub lists the group version beside its own'],
  [13, 'hub', 'the listed document is immutable; a wrong hash still gives it, and no redirect'],
  [14, 'direct', 'documents are 503 while the gateway starts, never 404'],
  [15, 'direct', 'OpenAPI v2 as text/html is 406'],
  [16, 'hub', 'kubectl explain shows the fields'],
  [17, 'hub', 'kubectl get clustergateways has five columns'],
  [18, 'hub', 'a Table with includeObject None, Metadata, Object; anything else is 400'],
  [19, 'hub', 'PartialObjectMetadataList is metadata alone'],
  [20, 'hub', 'protobuf alone is 406; protobuf or JSON is JSON'],
  [21, 'hub', 'YAML'],
  [22, 'hub', 'indented with ?pretty=1, and for curl'],
  [23, 'hub', 'label selectors filter; one that cannot be read is 400'],
  [24, 'hub', 'metadata.name can be selected; any other field is 400'],
  [25, 'hub', 'resourceVersionMatch without a version is 422 with causes'],
  [26, 'hub', 'lists have a resourceVersion, and items that are never null'],
  [27, 'hub', 'a watch begins within a second and tells ADDED, MODIFIED and DELETED'],
  [28, 'hub', 'a watch with timeoutSeconds ends then, in good order, behind a bookmark'],
  [29, 'hub', 'a watch from a version that is too old is 410, and a new list goes on'],
  [30, 'hub', 'sendInitialEvents: the state, then a bookmark that marks its end'],
  [31, 'hub', "client-go's informer is in sync within five seconds"],
  [32, 'hub', 'an unknown name is 404 with the details of Kubernetes'],
  [33, 'hub', 'a verb that is not offered is 405'],
  [34, 'hub', 'health is written to the Secret; a dry run writes nothing, a stale write is 409'],
  [35, 'hub, direct', 'the right to one proxy is the right to that one alone; the gateway asks for itself'],
  [36, 'hub, direct', 'each method on P needs its verb; OPTIONS needs all of them'],
  [37, 'hub', 'P of an unknown cluster is a 404 Status'],
  [56, 'direct', 'identity headers count with the front proxy’s certificate alone'],
  [58, 'hub', '300 groups and 20 extras come through, plain and as an upgrade'],
  [60, 'direct', 'authorities of the ConfigMap come and go without a restart or a cut'],
  [61, 'direct', 'a new serving certificate is shown within a minute, and watches go on'],
  [62, 'direct', 'a right that was taken away is gone within ten seconds'],
  [63, 'direct', 'tokens: valid, expired, garbage, empty; one review for many requests'],
  [65, 'hub', "the caller's Audit-Id is in the audit of hub, gateway and cluster"],
  [
    67,
    'hub, direct',
    "429 of a cluster passes; the gateway's own has Retry-After and lets system:masters through",
  ],
  [69, 'direct', 'probes answer anybody, metrics and single checks those who may'],
  [70, 'hub, direct', 'SIGTERM under load: not ready first, no request fails, out within the grace'],
  [71, 'direct', 'rapid resets, bad frames and CONTINUATION floods harm nobody else'],
  [72, 'direct', 'requests that two servers read in two ways are 400 or closed'],
  [73, 'direct', 'TLS versions, cipher suites and SNI certificates are as they are set'],
];

const further: readonly Row[] = [
  [38, 'hub', 'a cluster that is down is a 503 Status at once'],
  [39, 'hub', 'watches are held, their events come at once, and they end at the cluster with their caller'],
  [40, 'hub', 'kubectl apply, patch, delete, scale, rollout: as at the cluster, to the last byte'],
  [41, 'hub', 'dry runs reach the cluster as they are, and nothing is kept'],
  [42, 'hub', 'logs as they are, and line by line as they are written'],
  [43, 'hub', 'kubectl cp of 100 MB both ways, over WebSocket and SPDY'],
  [44, 'hub', 'kubectl exec: streams, exit code and terminal, over WebSocket and SPDY'],
  [45, 'hub', 'kubectl attach and port-forward, over WebSocket and SPDY'],
  [46, 'hub', 'kubectl wait, drain, auth can-i and whoami: as at the cluster'],
  [47, 'hub', 'what a cluster refuses of an exec is told in its words'],
  [49, 'hub, direct', 'paths and queries reach the cluster byte for byte'],
  [48, 'hub, direct', 'an upgrade needs create where that is asked for: SPDY has it, a GET alone does not'],
  [50, 'hub', 'pods behind the proxy of the cluster answer as they do directly'],
  [51, 'hub, direct', 'paths with dot segments, empty segments or another shape never reach a cluster'],
  [52, 'hub, direct', 'a path inside that is authorized is no way to one that is not'],
  [53, 'hub, direct', 'queries that servers read in two ways are 400, or read by all in the same way'],
  [54, 'hub, direct', 'identity that Connection names is neither lost nor gained'],
  [55, 'hub, direct', "callers' own Impersonate-* lines never reach a cluster"],
  [57, 'hub, direct', 'a caller who is impersonated at the cluster is that user there, and nobody else'],
  [
    59,
    'hub, direct',
    'names, groups and extras of any letters are the same at the review and at the cluster',
  ],
  [64, 'hub, direct', 'a changed Secret counts from the next request on, a deleted one is 404'],
  [66, 'hub', 'a Warning of a cluster reaches the caller'],
  [68, 'direct', "a cluster that does not answer in time is a 504 Status of the gateway's deadline"],
  [74, 'direct', 'what is pipelined behind a refused upgrade never reaches the cluster'],
  [75, 'hub, direct', 'a redirect of a cluster is 502 and is followed by nobody'],
  [76, 'hub, direct', 'bodies of any size and coding, given up or expected, in flat memory'],
  [77, 'direct', 'thousands of idle watches and 500 upgrades: bounded memory and files, no lag'],
];

const rowsOf = (rows: readonly Row[], isRequired: boolean): readonly Check[] =>
  rows.map(([number, door, what]) => ({ number, what, door, required: isRequired }));

/** All that there are tests for, or must be, by number. */
export const checks: readonly Check[] = [...rowsOf(required, true), ...rowsOf(further, false)].toSorted(
  (one, other) => one.number - other.number,
);
