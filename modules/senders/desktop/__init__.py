"""What a message on the desktop needs: the screen, the clipboard, a chat's window, its edit box, and the one lock."""
