/* The active thread's pages: machine/i386/pmap.py (`translate`, `use_table`) and machine/i386/shadow.py (`fill`) say what they are.
 * A place in RAM comes from the pmap's own tables alone, which no guest can write. */
#include "i386.h"

enum { PRESENT = 1, WRITABLE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40, PAGE_SHIFT = 12, ENTRIES = 1024 };
#define FRAME_MASK 0xFFFFF000u
#define KERNEL_BASE 0xC0000000u
#define NO_EXECUTE (1ull << 63)

static uint32_t *directory_entry(const I386Exits *cpu, uint32_t address) {
    int64_t directory;
    if (!number_in(cpu->x.pmap, slots.I386Pmap_directory, &directory))
        return NULL;
    return &cpu->words[directory * ENTRIES + (address >> 22)];
}

/* The page's entry; NULL where it is refused. */
static uint32_t *entry_of(const I386Exits *cpu, uint32_t address, bool write) {
    uint32_t *table = address >= KERNEL_BASE ? NULL : directory_entry(cpu, address);
    if (table == NULL || (*table & (PRESENT | USER)) != (PRESENT | USER))
        return NULL;
    uint32_t *entry = &cpu->words[(*table >> PAGE_SHIFT) * ENTRIES + (address >> PAGE_SHIFT & (ENTRIES - 1))];
    return *entry & PRESENT && (!write || *entry & WRITABLE) ? entry : NULL;
}

static uint8_t *place(const I386Exits *cpu, const uint32_t *entry, uint32_t address) {
    return entry == NULL ? NULL : cpu->x.ram + (*entry & FRAME_MASK) + (address & ~FRAME_MASK);
}

uint8_t *i386_peek(const I386Exits *cpu, uint32_t address) { return place(cpu, entry_of(cpu, address, false), address); }

uint8_t *i386_stored(const I386Exits *cpu, uint32_t address) {
    uint32_t *entry = entry_of(cpu, address, true);
    if (entry != NULL)
        *entry |= ACCESSED | DIRTY;
    return place(cpu, entry, address);
}

bool i386_fill(const I386Exits *cpu, uint32_t address, bool write, bool *made) {
    *made = false;
    PyObject *tables = PyDict_GetItemWithError(cpu->shadow_of, cpu->x.pmap);
    if (tables == NULL)
        return false;
    PyObject *number = PyLong_FromUnsignedLong(address >> 21);
    PyObject *table = number == NULL ? NULL : PyDict_GetItemWithError(slot(tables, slots.Tables_pages), number);
    Py_XDECREF(number);
    if (table == NULL) {
        PyErr_Clear();
        return false;
    }
    uint32_t *entry = entry_of(cpu, address, write);
    if (entry == NULL)
        return true;
    *entry |= write ? ACCESSED | DIRTY : ACCESSED;
    *directory_entry(cpu, address) |= ACCESSED;
    uint64_t shadow = *entry & (*entry & DIRTY ? FRAME_MASK | WRITABLE : FRAME_MASK);
    if (!is_code(cpu->x.memory, *entry >> PAGE_SHIFT))
        shadow |= NO_EXECUTE;
    cpu->shadow[PyLong_AsLong(table) + (address >> PAGE_SHIFT & 511)] = shadow | PRESENT | ACCESSED | DIRTY | USER;
    *made = true;
    return true;
}
