import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import {
  type BinaryRecipe,
  catalogue,
  groups,
  hubRelease,
  oldestRelease,
  pinnedRelease,
  type ReleaseName,
  releaseRecipes,
  releases,
} from './catalogue.ts';

const recipes: [string, BinaryRecipe][] = Object.entries(catalogue);
const modOf = (module: string): string => readFileSync(join(import.meta.dirname, module, 'go.mod'), 'utf8');

test.each(recipes)('%s is a tool of its module, so that go mod tidy keeps what it needs', (_, recipe) => {
  const tools = [...modOf(recipe.module).matchAll(/^(?:tool |\t)(\S+)$/gm)].map(([, path]) => path);
  expect(tools).toContain(recipe.package);
});

test.each(Object.keys(releases) as ReleaseName[])(
  'the version that the binaries of Kubernetes %s report is the pinned one',
  (name) => {
    const mod = modOf(releases[name].module);
    const version = /^(?:require |\t)k8s\.io\/kubernetes (v\S+)/m.exec(mod)?.[1] ?? 'none';
    expect(version).toMatch(new RegExp(`^v${name}\\.`));
    expect(releases[name].version).toBe(version);
    // kubernetes v1.X.Y goes with staging modules v0.X.Y.
    const staging = [...mod.matchAll(/^\tk8s\.io\/\S+ => k8s\.io\/\S+ (v\S+)$/gm)].map(
      ([, pinned]) => pinned,
    );
    expect(new Set(staging)).toEqual(new Set([version.replace('v1.', 'v0.')]));
    for (const [binary, recipe] of Object.entries(releaseRecipes(name))) {
      expect(mod).toContain(`\tk8s.io/kubernetes/cmd/${binary}\n`);
      expect(recipe.ldflags).toContain(`component-base/version.gitVersion=${version} `);
      expect(recipe.ldflags).toContain(`version.gitMinor=${name.slice(2)} `);
      expect(recipe.ldflags).toMatch(new RegExp(`client-go/pkg/version.gitVersion=${version}$`));
    }
  },
);

test('HUB_VERSION names one of the releases', () => {
  expect(hubRelease({})).toBe(pinnedRelease);
  expect(hubRelease({ HUB_VERSION: '' })).toBe(pinnedRelease);
  expect(hubRelease({ HUB_VERSION: oldestRelease })).toBe(oldestRelease);
  expect(() => hubRelease({ HUB_VERSION: '1.2' })).toThrow('HUB_VERSION=1.2: a hub can be of 1.37 or 1.33');
});

test('every binary is in a group', () => {
  expect(Object.values(groups).flat().toSorted()).toEqual(Object.keys(catalogue).toSorted());
});
