/** Something that was broken in a proxy once, or that each proxy must withstand, and what proves that it is not broken here. */
export interface AttackItem {
  /** The advisory, issue or program that it comes from. */
  readonly from: string;
  readonly what: string;
  /** Tests that try it: file below e2e, and the beginning of a title in it (or in a file that it imports). */
  readonly tests: readonly (readonly [file: string, title: string])[];
}

const attacks = 'attacks/world/attacks.test.ts';
const fuzz = 'fuzz/world/fuzz.test.ts';
const scenario = (name: string): string => `scenarios/${name}.test.ts`;

export const attackItems: readonly AttackItem[] = [
  {
    from: 'CVE-2018-1002105',
    what: 'a refused upgrade leaves a connection with the rights of the proxy',
    tests: [
      [attacks, '%s: nothing behind it arrives'],
      [scenario('identity'), 'with %j: what is pipelined behind it never reaches the target'],
    ],
  },
  {
    from: 'CVE-2020-8559, CVE-2022-3172',
    what: 'redirects are followed, or passed to clients with their credentials',
    tests: [[scenario('identity'), '[75] a redirect is 502, and nobody follows it']],
  },
  {
    from: 'CVE-2019-11253',
    what: 'YAML and JSON bombs',
    tests: [
      [attacks, '%s is refused at once, and others do not wait'],
      [attacks, 'is not looked into on its way to a cluster, which refuses it itself'],
    ],
  },
  {
    from: 'CVE-2023-44487, CVE-2023-39325, CVE-2024-27983, CVE-2025-59465, CVE-2026-21714, CVE-2026-48937',
    what: 'floods of HTTP/2 frames',
    tests: [
      [scenario('hostile-input'), '[71] 10,000 HEADERS and RST_STREAM'],
      [scenario('hostile-input'), "[71] one user's aborts through the hub end no stream of another"],
    ],
  },
  {
    from: 'CVE-2021-31999, GHSA-pvxj-25m6-7vqr, CVE-2022-23652, CVE-2021-33197, envoy #44525',
    what: 'a Connection line takes the identity headers away',
    tests: [
      [attacks, 'Connection: %j takes nothing of her identity away'],
      [scenario('client-identity'), '[54][55] what the caller says of identity changes nothing'],
      [scenario('identity'), '[54] of an ordinary request'],
      [scenario('identity'), '[54] of an upgrade'],
    ],
  },
  {
    from: 'open-cluster-management cluster-proxy #329',
    what: "the caller's own Impersonate-* lines are kept beside those of the proxy",
    tests: [
      [attacks, '%j makes her nobody else'],
      [scenario('identity'), '[55] what the hub has impersonated is not carried on'],
    ],
  },
  {
    from: 'OpenUnison helm-charts #186, Kubernetes user impersonation',
    what: 'impersonation that leaves something out: groups, UID, extras, an empty name',
    tests: [
      [attacks, '%s is not the gateway'],
      [scenario('client-identity'), '[57] a caller is there with groups, UID and extras'],
      [scenario('client-identity'), '[59] names, groups and extras of any letters are exact'],
    ],
  },
  {
    from: 'kcp GHSA-c7xh-gjv4-4jgv',
    what: 'groups that are administrators everywhere travel',
    tests: [[scenario('client-identity'), '[57] an administrator of the hub is none at the cluster']],
  },
  {
    from: 'Teleport 5.2.1, Teleport RFD 117',
    what: 'the confused deputy: one user or cluster in the place of another, from a cache or a pool',
    tests: [
      [attacks, 'users whose names look alike are never one another'],
      [attacks, 'the right of one is not that of another who looks alike'],
      [attacks, 'clusters at once, by certificates and by tokens: none gets the credential of another'],
      [attacks, 'a name that leads to another cluster from now on takes nothing of the first with it'],
      [attacks, 'a Secret that has no credential of its own is never served with that of another'],
      [
        scenario('client-identity'),
        "rules: KubeVela's own group is the gateway, a cluster's mapping is its target",
      ],
    ],
  },
  {
    from: 'CVE-2023-48312',
    what: 'a token that was not authenticated counts',
    tests: [
      [attacks, '%s opens nothing, plain or as an upgrade'],
      [scenario('identity'), '[63] with %s'],
    ],
  },
  {
    from: 'front proxy spoofing',
    what: 'identity headers of somebody who is not the front proxy',
    tests: [
      [attacks, '%j means nothing'],
      [scenario('identity'), '[56] with identity headers and no certificate is anonymous'],
      [scenario('identity'), '[56] with a certificate that nobody knows is refused'],
      [scenario('identity'), '%s with %s is %i'],
    ],
  },
  {
    from: 'CVE-2022-3162, kubernetes #113756',
    what: 'paths that the authorizer and the server read differently',
    tests: [
      [attacks, '%s never arrives at the cluster'],
      [scenario('bad-input'), '[51] paths that can be read in two ways'],
      [scenario('conformance-authorization'), 'the gateway asks about exactly what the hub has authorized'],
    ],
  },
  {
    from: 'oam-dev/cluster-gateway --authorize-proxy-subpath',
    what: 'another path than the authorized one runs',
    tests: [[scenario('inner-authorization'), '[52] a path that is allowed is no way to one that is not']],
  },
  {
    from: 'CVE-2022-2880, CVE-2026-39825',
    what: 'queries that the authorizer and the server read differently',
    tests: [
      [scenario('inner-authorization'), '[53] queries that servers read differently are refused'],
      [fuzz, ''],
    ],
  },
  {
    from: 'CVE-2020-8562, CVE-2022-3294, CVE-2020-8555',
    what: 'Secrets that lead to addresses that are nobody’s cluster, or back',
    tests: [
      [scenario('inner-authorization'), '%s without an end is 508, in bounded time'],
      [
        scenario('inner-authorization'),
        'refuses loopback, however it is written, and connects to nothing there',
      ],
      [scenario('bad-input'), 'each is shown with its reason and answers 503 with it'],
    ],
  },
  {
    from: 'kubernetes #136550, #78741',
    what: 'the right to read runs commands, through a WebSocket',
    tests: [[scenario('inner-authorization'), '[48] an upgrade needs create: with create alone SPDY works']],
  },
  {
    from: 'CVE-2021-25740 and kin',
    what: 'what callers say of their address is believed',
    tests: [[scenario('identity'), '[54] of an ordinary request']],
  },
  {
    from: 'CVE-2022-32213, CVE-2022-35256, CVE-2023-30589, CVE-2024-27982, CVE-2025-23167',
    what: 'requests smuggled in requests',
    tests: [
      [scenario('hostile-input'), 'CL and TE'],
      [fuzz, ''],
    ],
  },
  {
    from: 'GHSA-5qjg-9mjh-4r92, CVE-2023-30622, CVE-2024-9779',
    what: 'paths without authentication, and service accounts with too many rights',
    tests: [
      [attacks, '%s is not for somebody who is nobody'],
      [attacks, 'its own service account'],
    ],
  },
  {
    from: 'oam-dev/cluster-gateway spec.access.credential',
    what: 'credentials are shown',
    tests: [
      [scenario('credentials'), 'nothing secret is in what is shown, logged or measured'],
      [scenario('bad-input'), 'nothing that a Secret holds is shown or logged'],
    ],
  },
];
