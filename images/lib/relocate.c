/* What a program that can lie anywhere does first: its pointers are made those of where it lies. */
#include "guest.h"

enum { DT_NULL = 0, DT_RELA = 7, DT_RELASZ = 8, DT_REL = 17, DT_RELSZ = 18, R_386_RELATIVE = 8, R_68K_RELATIVE = 22 };

/* Uses nothing but its arguments: where the file's header lies, and its dynamic section. */
void relocate(u32 base, const u32 *dynamic)
{
	u32 table = 0, size = 0, words = 2, i;

	for (; dynamic[0] != DT_NULL; dynamic += 2)
		if (dynamic[0] == DT_REL || dynamic[0] == DT_RELA)
			table = base + dynamic[1], words = dynamic[0] == DT_REL ? 2 : 3;
		else if (dynamic[0] == DT_RELSZ || dynamic[0] == DT_RELASZ)
			size = dynamic[1];
	for (i = 0; i < size; i += words * sizeof(u32)) {
		u32 *entry = (u32 *) (table + i), *place = (u32 *) (base + entry[0]);

		if ((entry[1] & 0xff) == R_386_RELATIVE)
			*place += base;
		else if ((entry[1] & 0xff) == R_68K_RELATIVE)
			*place = base + entry[2];
	}
}
