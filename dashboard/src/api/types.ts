// types.ts - the resources as the views use them. The generated types call
// nearly every field absent or null; those that the controller always fills in
// are named here.
import type { components } from './schema';

type Schemas = components['schemas'];
type Have<T, K extends keyof T> = T & { [P in K]-?: NonNullable<T[P]> };

export type Whoami = Have<Schemas['Whoami'], 'role'>;
export type Project = Have<Schemas['Project'], 'id' | 'name'>;
export type Flavor = Have<Schemas['Flavor'], 'id' | 'name'>;
export type Image = Have<Schemas['Image'], 'id' | 'name'>;
export type Instance = Have<
  Schemas['Instance'],
  'id' | 'name' | 'state' | 'vcpus' | 'memory_bytes' | 'disk_bytes'
>;
export type Operation = Have<
  Schemas['Operation'],
  'id' | 'kind' | 'state' | 'resource_id'
>;
export type Node = Have<
  Schemas['Node'],
  | 'id'
  | 'name'
  | 'state'
  | 'instances'
  | 'vcpus'
  | 'memory_bytes'
  | 'disk_bytes'
  | 'vcpus_limit'
  | 'memory_limit_bytes'
  | 'disk_limit_bytes'
  | 'vcpus_claimed'
  | 'memory_claimed_bytes'
  | 'disk_claimed_bytes'
>;
export type Usage = Schemas['Usage'];
export type UsageItem = NonNullable<Usage['items']>[number];
export type Event = Have<Schemas['Event'], 'seq' | 'kind'>;
export type Problem = Schemas['Problem'];

export interface Page<T> {
  items: T[];
  next_page_token?: string;
}
