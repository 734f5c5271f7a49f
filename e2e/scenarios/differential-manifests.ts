import { boxPod } from '../worlds/node.ts';

/** Manifests as JSON texts; `{ns}` stands for the namespace of a side. */
function manifest(object: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(object);
}

/** A config map with one value of the key `color`. */
export function settings(color: string, name = 'settings'): string {
  return manifest({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, labels: { app: 'web' } },
    data: { color, size: '3' },
  });
}

/** Many config maps, for lists in pieces. */
export const manyConfigMaps = manifest({
  apiVersion: 'v1',
  kind: 'List',
  items: Array.from({ length: 25 }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `many-${String(index).padStart(2, '0')}`, labels: { many: 'yes' } },
    data: { index: String(index) },
  })),
});

/** A pod that runs until it is deleted. */
export const pod = manifest(boxPod('streams', '{ns}'));

/** A Deployment; its pods name their node, for there is no scheduler. */
export const deployment = manifest({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: boxPod('web')['spec'] },
  },
});

export const unknownField = manifest({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'strict' },
  colour: 'none',
});

export const invalidService = manifest({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'invalid' },
  spec: { ports: [{ port: 99_999 }], type: 'Wrong' },
});

/** A resource version that is none of the object's. */
export const staleSettings = manifest({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', resourceVersion: '1' },
  data: { color: 'stale' },
});

/** The group is the side's own: both sides have their CRD. */
export const widgetDefinition = manifest({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.{ns}.example.com' },
  spec: {
    group: '{ns}.example.com',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget', shortNames: ['wi'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' },
        },
        additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description: 'A widget.',
            properties: {
              spec: {
                type: 'object',
                description: 'What it shall be.',
                required: ['size'],
                properties: { size: { type: 'integer', minimum: 1, description: 'How large it is.' } },
              },
              status: { type: 'object', properties: { size: { type: 'integer' } } },
            },
          },
        },
      },
    ],
  },
});

export function widget(size: number): string {
  return manifest({
    apiVersion: '{ns}.example.com/v1',
    kind: 'Widget',
    metadata: { name: 'one' },
    spec: { size },
  });
}

export const event = manifest({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: 'settings.1', namespace: '{ns}' },
  involvedObject: { kind: 'ConfigMap', name: 'settings', namespace: '{ns}', apiVersion: 'v1' },
  reason: 'Changed',
  message: 'the color is another',
  type: 'Normal',
  count: 1,
  source: { component: 'painter' },
});

/** Made for a key that nobody has kept: it asks for the user jane of the organization dev. */
const request = [
  'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWU1IOENBUUF3SFRFTU1Bb0dBMVVFQ2d3RFpHVjJNUTB3',
  'Q3dZRFZRUUREQVJxWVc1bE1Ga3dFd1lIS29aSQp6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVzQzIxbHdaYnphWk92WlFiV3NT',
  'UHoxQzd6UHd4R2V4cGJhS1E2WEwzClBrOXRvTTM4Vk5WYmlUWVVoQUxzOXNWZzVZclBUcUEwaUZ5M3ZNWXNBV3BwRmFBQU1B',
  'b0dDQ3FHU000OUJBTUMKQTBrQU1FWUNJUUNrT2RtNEhrQktkOVFuK2lKRXJ4Smt2SHdaUzNWRjF5RjRVaUsrc2xxOUJBSWhB',
  'SmpaM3RSawo3VzE0ZWJ5bWY2UmwxT09XYnNQZzdzMXNwdmZJMzJXYzhnY04KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVT',
  'VC0tLS0tCg==',
].join('');

export const signingRequest = manifest({
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  metadata: { name: '{ns}-request' },
  spec: { request, signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'] },
});

export const rbac = manifest({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name: 'painter' },
  rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['update'] }],
});
