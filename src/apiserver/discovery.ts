import type { DiscoveryVersion } from './negotiation.ts';
import type { AnyResource } from './resource.ts';
import type { GroupVersionResources } from './resource-names.ts';
import { subresourceShape, groupVersionOf, verbsOf } from './resource-names.ts';

/** GET /apis/<group>/<version>: metav1.APIResourceList. */
export function apiResourceList(groupVersion: GroupVersionResources): object {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: groupVersionOf(groupVersion),
    resources: groupVersion.resources.flatMap((resource) => [
      {
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.scope === 'Namespaced',
        kind: resource.kind,
        verbs: verbsOf(resource),
        ...namesOf(resource),
      },
      ...(resource.subresources ?? []).map((subresource) => {
        const { kind, verbs } = subresourceShape(resource, subresource);
        return {
          name: `${resource.plural}/${subresource.name}`,
          singularName: '',
          namespaced: resource.scope === 'Namespaced',
          // Where it is not the list's own.
          ...(kind.group === resource.group && kind.version === resource.version
            ? {}
            : { group: kind.group, version: kind.version }),
          kind: kind.kind,
          verbs,
        };
      }),
    ]),
  };
}

function namesOf({ shortNames, categories }: AnyResource) {
  return {
    ...(shortNames && shortNames.length > 0 ? { shortNames } : {}),
    ...(categories && categories.length > 0 ? { categories } : {}),
  };
}

function groupFields(name: string, groupVersions: readonly GroupVersionResources[]) {
  const versions = groupVersions
    .filter(({ group }) => group === name)
    .map(({ group, version }) => ({ groupVersion: groupVersionOf({ group, version }), version }));
  return { name, versions, preferredVersion: versions[0] };
}

const groupNames = (groupVersions: readonly GroupVersionResources[]) => [
  ...new Set(groupVersions.map(({ group }) => group)),
];

/** GET /apis/<group>: metav1.APIGroup; undefined for a group that is not served. */
export function apiGroup(name: string, groupVersions: readonly GroupVersionResources[]): object | undefined {
  const fields = groupFields(name, groupVersions);
  return fields.versions.length === 0 ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...fields };
}

/** GET /apis: metav1.APIGroupList. */
export function apiGroupList(groupVersions: readonly GroupVersionResources[]): object {
  const groups = groupNames(groupVersions).map((name) => groupFields(name, groupVersions));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups };
}

/** GET /apis with all resources in one document (KEP-3352): what kube-aggregator asks for first. */
export function aggregatedDiscovery(
  groupVersions: readonly GroupVersionResources[],
  version: DiscoveryVersion,
): object {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groupNames(groupVersions).map((name) => ({
      metadata: { name, creationTimestamp: null },
      versions: groupVersions
        .filter(({ group }) => group === name)
        .map((each) => ({
          version: each.version,
          resources: each.resources.map(aggregatedResource),
          freshness: 'Current',
        })),
    })),
  };
}

function aggregatedResource(resource: AnyResource): object {
  const { group, version, kind, subresources = [] } = resource;
  return {
    resource: resource.plural,
    // Never null: clients of 0.26 panic on it.
    responseKind: { group, version, kind },
    scope: resource.scope,
    singularResource: resource.singular,
    verbs: verbsOf(resource),
    ...namesOf(resource),
    ...(subresources.length > 0
      ? {
          subresources: subresources.map((subresource) => {
            const { kind: responseKind, verbs } = subresourceShape(resource, subresource);
            return { subresource: subresource.name, responseKind, verbs };
          }),
        }
      : {}),
  };
}
